import { EventQueue } from "@isochron/simulator";
import fc from "fast-check";
import { expect, it } from "vitest";

it("events come out by time, and those of one instant in the order in which they went in", () => {
  const operation = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constant("pop" as const));
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
      const queue = new EventQueue();
      const model: { time: number; payload: number }[] = [];
      let payload = 0;
      for (const op of operations) {
        if (op !== "pop") {
          queue.push(op, payload);
          model.push({ time: op, payload: payload++ });
        } else if (model.length > 0) {
          // A stable sort of what was pushed in order: the first of the earliest.
          const next = [...model].sort((a, b) => a.time - b.time)[0]!;
          expect(queue.nextTimeUs).toBe(next.time);
          expect(queue.pop()).toBe(next.payload);
          model.splice(model.indexOf(next), 1);
        }
        expect(queue.size).toBe(model.length);
      }
    }),
    { numRuns: 1000 },
  );
});

it("an empty queue has no next time and nothing to pop", () => {
  const queue = new EventQueue();
  expect(queue.nextTimeUs).toBe(Number.POSITIVE_INFINITY);
  expect(() => queue.pop()).toThrow(RangeError);
});
