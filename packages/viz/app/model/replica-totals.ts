// What all replicas have together at any time: requests running, requests waiting, KV blocks. A replica has what it had when its step
// began until its next step begins; nothing once its steps end and no other follows at once, as with a request it would take its next.

import { isRejected, type ReportDocument } from "../documents/report.ts";

/** A step function: value i holds from atUs[i] to atUs[i + 1]. */
export interface StepFunction {
  readonly atUs: Float64Array;
  readonly values: Float64Array;
}

/** Times from which on a replica has nothing, or with replica −1 all have. */
export type IdleTimes = readonly { readonly replica: number; readonly atUs: number }[];

/** Steps that follow each other at once may be so far apart: times are kept to the nanosecond. */
export const ROUNDING_US = 0.01;

/** From the steps where the series has all of them; from the requests, as far as there are some, where it leaves steps out. */
export function idleTimes(report: ReportDocument): IdleTimes {
  return report.stepStride === 1 ? behindSteps(report) : withoutRequests(report);
}

/** Sum over replicas of a value of each step, divided by `scale`. */
export function totalOf(
  report: ReportDocument,
  values: ArrayLike<number>,
  idleFrom: IdleTimes,
  scale: number,
): StepFunction {
  const { startUs, replica } = report.steps;
  const replicas = new Set(Array.from(replica));
  const changes = idleFrom.flatMap(({ replica, atUs }) =>
    (replica < 0 ? [...replicas] : [replica]).map((one) => ({ atUs, replica: one, value: 0 })),
  );
  for (let i = 0; i < startUs.length; i++) {
    changes.push({ atUs: startUs[i]!, replica: replica[i]!, value: values[i]! });
  }
  changes.sort((a, b) => a.atUs - b.atUs);
  const current = new Map<number, number>();
  let sum = 0;
  const atUs = Float64Array.from(changes, (change) => change.atUs);
  const sums = Float64Array.from(changes, ({ replica, value }) => {
    sum += value - (current.get(replica) ?? 0);
    current.set(replica, value);
    return sum / scale;
  });
  return { atUs, values: sums };
}

function behindSteps({ steps }: ReportDocument): IdleTimes {
  const { startUs, durationUs, replica } = steps;
  const times: { replica: number; atUs: number }[] = [];
  const untilUs = new Map<number, number>();
  for (let i = 0; i < startUs.length; i++) {
    const one = replica[i]!;
    const atUs = untilUs.get(one) ?? startUs[i]!;
    if (startUs[i]! - atUs > ROUNDING_US) times.push({ replica: one, atUs });
    untilUs.set(one, Math.max(atUs, startUs[i]! + durationUs[i]!));
  }
  for (const [one, atUs] of untilUs) times.push({ replica: one, atUs });
  return times;
}

function withoutRequests({ requests }: ReportDocument): IdleTimes {
  if (requests === undefined) return [];
  const { arrivalUs, endUs } = requests;
  const order = Uint32Array.from({ length: arrivalUs.length }, (_, row) => row);
  order.sort((a, b) => arrivalUs[a]! - arrivalUs[b]!);
  const times: { replica: number; atUs: number }[] = [];
  let untilUs = Number.NEGATIVE_INFINITY;
  for (const row of order) {
    if (isRejected(requests, row)) continue;
    if (arrivalUs[row]! > untilUs && Number.isFinite(untilUs)) times.push({ replica: -1, atUs: untilUs });
    // Without an end it is there to the last.
    untilUs = Math.max(untilUs, endUs[row]! >= 0 ? endUs[row]! : Number.POSITIVE_INFINITY);
  }
  if (Number.isFinite(untilUs)) times.push({ replica: -1, atUs: untilUs });
  return times;
}
