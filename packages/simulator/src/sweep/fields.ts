// Trees of fields → flat fields by dotted path, which is the one form that everything behind works with.

import type { FieldTree, FieldValue } from "../documents/sweep.ts";
import { SweepError } from "./sweep-error.ts";

/** Fields by path, none of which lies below another, and none of which is null. */
export type Fields = Readonly<Record<string, Exclude<FieldValue, null>>>;

/** The leaves of a tree by path, in its order. `{ a: { b: 1 }, "c.d": 2 }` has a.b and c.d. */
export function leavesOf(tree: FieldTree, prefix = ""): (readonly [path: string, value: FieldValue])[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    value !== null && typeof value === "object"
      ? leavesOf(value, `${prefix}${name}.`)
      : [[`${prefix}${name}`, value] as const],
  );
}

/** Whether both name the same field, or one of them a field inside the other. */
export function overlap(one: string, other: string): boolean {
  return one === other || one.startsWith(`${other}.`) || other.startsWith(`${one}.`);
}

/** @throws SweepError where a path inside one tree is given twice, or lies below another of it; `at` names the tree */
export function requireApart(tree: FieldTree, at: string): void {
  const paths = leavesOf(tree).map(([path]) => path);
  paths.forEach((path, i) => {
    const clash = paths.findIndex((other, k) => k < i && overlap(path, other));
    if (clash >= 0) throw new SweepError(`${at}.${path}`, paths[clash], "every field once, and none below another");
  });
}
