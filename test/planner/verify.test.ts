import type { AttentionBatch, AttentionShape, Device, Plan, PolicyName } from "@isochron/planner";
import {
  clonePlan,
  createPlanner,
  decodePlan,
  encodePlan,
  H100_SXM,
  Header,
  Launch,
  Merge,
  MergeLaunch,
  Piece,
  PlanFormatError,
  PlanViolation,
  POLICIES,
  PolicyNotApplicableError,
  planFromJson,
  planToJson,
  verifyPlan,
} from "@isochron/planner";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fingerprint } from "../../packages/planner/src/plan-buffer.ts";
import { attentionShapes, batches, CASES, devices, LLAMA_8B, randomNumbers } from "./support.ts";

const policies = (Object.keys(POLICIES) as PolicyName[]).filter((name) => !POLICIES[name]!.isComparison);

const everyPolicy = Object.keys(POLICIES) as PolicyName[];
const sharingPolicies = everyPolicy.filter((name) => POLICIES[name]!.sharesPrefixes === true);
const LATENT: AttentionShape = { ...LLAMA_8B, queryHeads: 16, kvHeads: 1, headDim: 576, valueHeadDim: 512 };

/** The plan, or undefined where the kernel behind the policy cannot run the batch. */
function planOf(policy: PolicyName, attention: AttentionShape, device: Device, batch: AttentionBatch) {
  try {
    return createPlanner({ attention, device, policy }).plan(batch);
  } catch (error) {
    if (error instanceof PolicyNotApplicableError) return undefined;
    throw error;
  }
}

/** Takes the tokens of each piece record alone and then of all; how many had some. */
function refusesEmptied(plan: Plan | undefined, batch: AttentionBatch, atEnd: boolean): number {
  if (plan === undefined) return 0;
  verifyPlan(plan, batch);
  const [from, to] = atEnd ? [Piece.kvEnd, Piece.kvStart] : [Piece.kvStart, Piece.kvEnd];
  const all = clonePlan(plan);
  let emptied = 0;
  for (let at = 0; at < plan.pieceRecordCount * Piece.stride; at += Piece.stride) {
    if (plan.pieces[at + Piece.kvStart] === plan.pieces[at + Piece.kvEnd]) continue;
    emptied++;
    all.pieces[at + to] = all.pieces[at + from]!;
    // One in each so many, so that plans of many records take no longer.
    if (emptied % Math.ceil(plan.pieceRecordCount / 32) !== 0) continue;
    const one = clonePlan(plan);
    one.pieces[at + to] = one.pieces[at + from]!;
    expect(() => verifyPlan(one, batch)).toThrow(PlanViolation);
    expect(() => decodePlan(encodePlan(one))).toThrow(PlanViolation);
  }
  if (emptied > 0) expect(() => verifyPlan(all, batch)).toThrow(PlanViolation);
  return emptied;
}

describe("verifyPlan", () => {
  test.each(policies)("accepts what %s plans", (policy) => {
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(8, 150, 5000), (attention, device, batch) => {
        verifyPlan(createPlanner({ attention, device, policy }).plan(batch), batch, device);
      }),
      { numRuns: Math.min(CASES, 300) },
    );
  });

  const batch = { qoLens: [1, 300, 1], kvLens: [9000, 4000, 70] };
  const fresh = () => clonePlan(createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(batch));

  test.each<[string, (plan: ReturnType<typeof fresh>) => void]>([
    [
      "header",
      (plan) => {
        plan.header[Header.magic] = 1;
      },
    ],
    [
      "layout",
      (plan) => {
        plan.header[Header.piecesOffset]! += 16;
      },
    ],
    [
      "capacity",
      (plan) => {
        plan.header[Header.mergeCount] = 1 << 20;
      },
    ],
    [
      "request table",
      (plan) => {
        plan.requests[1] = -1;
      },
    ],
    [
      "worker ranges",
      (plan) => {
        plan.workerPieceIndptr[3] = 0;
      },
    ],
    [
      "piece fields",
      (plan) => {
        plan.pieces[Piece.head] = 8;
      },
    ],
    [
      "cover",
      (plan) => {
        plan.pieces[Piece.kvEnd]! -= 64;
      },
    ],
    [
      "slots",
      (plan) => {
        plan.pieces[Piece.stride + Piece.slot] = plan.pieces[Piece.slot]!;
      },
    ],
    [
      "merges",
      (plan) => {
        plan.mergeSources[0]! += 1;
      },
    ],
    [
      "merges",
      (plan) => {
        plan.merges[Merge.reserved] = 1;
      },
    ],
    [
      "merges",
      (plan) => {
        plan.merges[Merge.splitJob] = -7;
      },
    ],
    [
      "merges",
      (plan) => {
        plan.merges[Merge.splitJob] = plan.merges[(plan.mergeCount - 1) * Merge.stride + Merge.splitJob]!;
      },
    ],
    [
      "header",
      (plan) => {
        plan.header[Header.mergeLaunch] = MergeLaunch.none;
      },
    ],
    [
      "header",
      (plan) => {
        plan.header[Header.launch] = Launch.grid;
      },
    ],
    [
      "header",
      (plan) => {
        plan.header[Header.smCount] = 1;
        plan.header[Header.fingerprint] = fingerprint(plan.header);
      },
    ],
    [
      "header",
      (plan) => {
        plan.header[Header.fingerprint]! ^= 1;
      },
    ],
    [
      "header",
      (plan) => {
        plan.header[Header.softCapBits] = 0x4000_0000;
      },
    ],
    [
      "header",
      (plan) => {
        plan.header[Header.reserved60 + 3] = 1;
      },
    ],
    [
      "slots",
      (plan) => {
        plan.header[Header.partialSlotCount]! += 1;
      },
    ],
    [
      "stats",
      (plan) => {
        plan.header[Header.splitJobCount]! += 1;
      },
    ],
  ])("names the rule that is broken first: %s", (rule, breakPlan) => {
    const plan = fresh();
    verifyPlan(plan, batch);
    breakPlan(plan);
    expect(() => verifyPlan(plan, batch)).toThrow(PlanViolation);
    try {
      verifyPlan(plan, batch);
    } catch (error) {
      expect((error as PlanViolation).rule).toBe(rule);
    }
  });

  test.each(everyPolicy)("refuses pieces of %s that are emptied, one of them or all", (policy) => {
    let emptied = 0;
    fc.assert(
      fc.property(
        attentionShapes,
        devices(false),
        batches(6, 100, 5000),
        fc.boolean(),
        (shape, device, batch, atEnd) => {
          emptied += refusesEmptied(planOf(policy, shape, device, batch), batch, atEnd);
        },
      ),
      { numRuns: Math.min(CASES, 100) },
    );
    // FlashInfer's holistic and latent-attention kernels run few of these shapes; decode kernels few of the batches.
    const skewed = { qoLens: new Array(64).fill(1), kvLens: [131_072, ...new Array(63).fill(512)] };
    const attention = policy === "flashinfer-mla" ? LATENT : LLAMA_8B;
    emptied += refusesEmptied(planOf(policy, attention, H100_SXM, skewed), skewed, true);
    expect(emptied).toBeGreaterThan(64);
  });

  test.each(sharingPolicies)("refuses pieces of shared prefixes that are emptied: %s", (policy) => {
    const attention = { ...LLAMA_8B, queryHeads: 8, kvHeads: 2 };
    const shared = {
      qoLens: [1, 3, 1, 1, 0],
      kvLens: [3000, 2000, 1100, 900, 5],
      prefixes: [
        { requests: [0, 1, 2, 3], kvLen: 800 },
        { requests: [0, 1], kvLen: 1600 },
      ],
    };
    const costModel = { ...H100_SXM.costModel, mergeNs: 0, mergePartialNs: 0 };
    const plan = planOf(policy, attention, { ...H100_SXM, smCount: 4, costModel }, shared);
    expect(plan?.groupCount).toBe(2);
    for (const atEnd of [false, true]) expect(refusesEmptied(plan, shared, atEnd)).toBeGreaterThan(4);
  });

  test("refuses groups whose members do not share in the batch, by name or by pages", () => {
    const lengths = { qoLens: [1, 1, 1, 1], kvLens: [4000, 4000, 4000, 4000] };
    const pageIndptr = [0, 250, 500, 750, 1000];
    const own = Array.from({ length: 1000 }, (_, page) => page);
    const shared = own.map((page) => (page % 250 < 240 ? page % 250 : page));
    const prefixes = [{ requests: [0, 1, 2, 3], kvLen: 3840 }];
    const plan = createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan({ ...lengths, prefixes });
    expect(plan.groupCount).toBe(1);
    const found = createPlanner({ attention: LLAMA_8B, device: H100_SXM, sharedPrefixes: "detect" });
    expect(encodePlan(found.plan({ ...lengths, pageIndptr, pageIndices: shared }))).toEqual(encodePlan(plan));
    for (const sharing of [
      { prefixes },
      { pageIndptr, pageIndices: shared },
      { prefixes, pageIndptr, pageIndices: shared },
      { prefixes: [{ requests: [0, 1, 2, 3], kvLen: 3856 }] },
    ]) {
      expect(() => verifyPlan(plan, { ...lengths, ...sharing })).not.toThrow();
    }
    for (const sharing of [
      {},
      { prefixes: [] },
      { prefixes: [{ requests: [0, 1, 2], kvLen: 3840 }] },
      { prefixes: [{ requests: [0, 1, 2, 3], kvLen: 3824 }] },
      { pageIndptr, pageIndices: own },
      { pageIndptr, pageIndices: shared.with(750 + 239, 7) },
      { prefixes, pageIndptr, pageIndices: own },
      { prefixes: [], pageIndptr, pageIndices: shared },
    ]) {
      expect(() => verifyPlan(plan, { ...lengths, ...sharing })).toThrow(/batch: group 0: its members do not share/);
    }
  });

  test("refuses another batch, and a makespan that is not the device's", () => {
    const plan = fresh();
    expect(() => verifyPlan(plan, { qoLens: [1, 300, 1], kvLens: [9000, 4000, 71] })).toThrow(/request 2/);
    expect(() => verifyPlan(plan, { qoLens: [1], kvLens: [9000] })).toThrow(/requestCount/);
    plan.headerFloat64[Header.makespanNs / 2]! -= 1;
    expect(() => verifyPlan(plan, batch)).not.toThrow();
    expect(() => verifyPlan(plan, batch, H100_SXM)).toThrow(/makespanNs/);
  });
});

describe("plans on disk", () => {
  test("come back equal from bytes and from JSON", () => {
    fc.assert(
      fc.property(attentionShapes, devices(false), batches(8, 150, 5000), (attention, device, batch) => {
        const plan = createPlanner({ attention, device }).plan(batch);
        const bytes = encodePlan(plan);
        expect(Buffer.from(encodePlan(decodePlan(bytes))).equals(bytes)).toBe(true);
        expect(decodePlan(bytes).attention).toEqual(attention);
        const json: unknown = JSON.parse(JSON.stringify(planToJson(plan)));
        expect(Buffer.from(encodePlan(planFromJson(json))).equals(bytes)).toBe(true);
      }),
      { numRuns: Math.min(CASES, 300) },
    );
  });

  const cutBatch: AttentionBatch = { qoLens: [1, 1, 40, 0], kvLens: [3000, 20, 100, 5] };
  const sharedBatch: AttentionBatch = {
    qoLens: [1, 3, 1, 1, 0],
    kvLens: [3000, 2000, 1100, 900, 5],
    prefixes: [
      { requests: [0, 1, 2, 3], kvLen: 800 },
      { requests: [0, 1], kvLen: 1600 },
    ],
  };

  test.each<[string, PolicyName, AttentionBatch, number]>([
    ["a cut job", "balanced", cutBatch, 0],
    ["shared prefixes", "balanced", sharedBatch, 2],
    ["shared prefixes and a canonical tree", "invariant", sharedBatch, 2],
  ])("of which 10,000 are mutated decode to a verified plan or a typed error, never to anything else: %s", (...of) => {
    const [, policy, batch, groups] = of;
    const device = { ...H100_SXM, smCount: 4, costModel: { ...H100_SXM.costModel, mergeNs: 0, mergePartialNs: 0 } };
    const attention = { ...LLAMA_8B, queryHeads: 8, kvHeads: 2 };
    const plan = createPlanner({ attention, device, policy }).plan(batch);
    expect(plan.groupCount).toBe(groups);
    expect(plan.stats.splitJobs).toBeGreaterThan(0);
    const bytes = encodePlan(plan);
    const random = randomNumbers(20_261_120);
    const below = (limit: number): number => Math.floor(((random() + 1) / 2) * limit);
    const interesting = [0, 1, -1, 2, 16, 64, 255, 65_535, 65_536, 0x7fff_ffff, -0x8000_0000];
    let decoded = 0;
    for (let round = 0; round < 10_000; round++) {
      const mutated = bytes.slice();
      const words = new Int32Array(mutated.buffer);
      for (let change = below(3); change >= 0; change--) {
        const at = below(words.length);
        const kind = below(3);
        if (kind === 0) words[at] = interesting[below(interesting.length)]!;
        else if (kind === 1) words[at]! ^= 1 << below(32);
        else words[at]! += below(5) - 2;
      }
      const cut = below(20) === 0 ? mutated.subarray(0, below(mutated.length)) : mutated;
      try {
        decodePlan(cut);
        decoded++;
      } catch (error) {
        expect(error instanceof PlanViolation || error instanceof PlanFormatError).toBe(true);
      }
    }
    // Some mutations hit stats or fields without a wrong value, so a few plans stay sound; most must not.
    expect(decoded).toBeGreaterThan(0);
    expect(decoded).toBeLessThan(5000);
  });

  test("are read in the time of their records, however many heads those stand for", () => {
    const attention = { ...LLAMA_8B, queryHeads: 65_535, kvHeads: 65_535 };
    const device = { ...H100_SXM, smCount: 1, ctasPerSm: 1 };
    const ones = new Array<number>(2000).fill(1);
    const plan = createPlanner({ attention, device }).plan({ qoLens: ones, kvLens: ones });
    expect(plan.stats.pieces).toBe(2000 * 65_535);
    const bytes = encodePlan(plan);
    expect(bytes.length).toBeLessThan(100_000);
    expect(Buffer.from(encodePlan(decodePlan(bytes))).equals(bytes)).toBe(true);
    const words = new Int32Array(bytes.buffer);
    const piece = words[Header.piecesOffset]! / 4 + 1000 * Piece.stride;
    words[piece + Piece.headCount]! -= 1;
    words[Header.pieceCount]! -= 1;
    expect(() => decodePlan(bytes)).toThrow(/cover: request 1000, head 65534, row 0: no piece starts here/);
    // One record whose states would be more than the whole plan has merge sources.
    words[piece + Piece.headCount]! += 1;
    words[Header.pieceCount]! += 1;
    words[piece + Piece.slot] = 0;
    words[Header.partialSlotCapacity] = words[Header.partialSlotCount] = 65_535;
    expect(() => decodePlan(bytes)).toThrow(PlanViolation);
  });

  test.each<[string, number]>([
    ["partialSlotCapacity", Header.partialSlotCapacity],
    ["partialSlotCount", Header.partialSlotCount],
    ["splitJobCount", Header.splitJobCount],
  ])("ask for no memory that nothing in them uses: %s", (_, field) => {
    const bytes = encodePlan(createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(cutBatch));
    const words = new Int32Array(bytes.buffer);
    words[field] = 0x7fff_fff0;
    if (field === Header.partialSlotCount) words[Header.partialSlotCapacity] = 0x7fff_fff0;
    expect(() => decodePlan(bytes)).toThrow(PlanViolation);
  });

  test.each<[unknown, string]>([
    ["1000", '"1000"'],
    [null, "null"],
    [0.7, "0.7"],
    [2 ** 31, "2147483648"],
  ])("are refused in JSON when an entry is %j", (value, found) => {
    const plan = createPlanner({ attention: LLAMA_8B, device: H100_SXM }).plan(cutBatch);
    const inSection = JSON.parse(JSON.stringify(planToJson(plan)));
    inSection.sections.requests[2] = value;
    expect(() => planFromJson(inSection)).toThrow(PlanFormatError);
    expect(() => planFromJson(inSection)).toThrow(`sections.requests[2] is ${found}, expected an integer of 32 bits`);
    const inHeader = JSON.parse(JSON.stringify(planToJson(plan)));
    inHeader.header.workers = value;
    expect(() => planFromJson(inHeader)).toThrow(`header.workers is ${found}, expected an integer of 32 bits`);
  });

  test("reads bytes that share their buffer with others, as those of a small file in Node do", () => {
    const device = { ...H100_SXM, smCount: 1, ctasPerSm: 1 };
    const plan = createPlanner({ attention: LLAMA_8B, device }).plan({ qoLens: [1], kvLens: [100] });
    const shared = Buffer.concat([Buffer.from([7]), encodePlan(plan)]).subarray(1);
    expect(Buffer.from(encodePlan(decodePlan(shared))).equals(encodePlan(plan))).toBe(true);
  });

  test("are refused when they are not plans of this version", () => {
    expect(() => decodePlan(new Uint8Array(10))).toThrow(PlanFormatError);
    for (const [what, bytes] of [
      ["undefined", undefined],
      ["an object", new ArrayBuffer(4096)],
      ['"ISOP"', "ISOP"],
    ] as const) {
      expect(() => decodePlan(bytes as never)).toThrow(new PlanFormatError(`found ${what}, expected a Uint8Array`));
    }
    expect(() => decodePlan(new Uint8Array(300))).toThrow(/ISOP/);
    expect(() => planFromJson({ isochron: "plan/2" })).toThrow(/plan\/2/);
    expect(() => planFromJson(null)).toThrow(PlanFormatError);
    expect(() => planFromJson({ isochron: "plan/1", header: {}, sections: {} })).toThrow(PlanFormatError);
  });
});
