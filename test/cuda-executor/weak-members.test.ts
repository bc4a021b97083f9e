// What an executor remembers of tensors and graphs that nobody holds any more.

import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { WeakMembers } from "../../packages/cuda-executor/src/weak-members.ts";

it("forgets members that are collected and keeps those that are held, in the order in which they came", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const members = new WeakMembers<{ readonly name: number }>();
  const held: { readonly name: number }[] = [];
  for (let name = 0; name < 10_000; name++) {
    const member = { name };
    members.add(member);
    if (name % 1000 === 0) held.push(member);
  }
  expect(members.size).toBe(10_000);
  // A register or the stack may still hold the last one or two.
  const most = held.length + 5;
  for (let round = 0; round < 20 && members.size > most; round++) {
    await setImmediate();
    collectGarbage();
  }
  expect(members.size).toBeLessThanOrEqual(most);
  const kept = new Set(held);
  expect([...members].filter((member) => kept.has(member))).toEqual(held);
});
