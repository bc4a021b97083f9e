// Routers that see replicas as they were at their last poll.

import { type DeploymentOptions, KvCache, type Report, replay, traceOf } from "@isochron/simulator";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gpu, timerOf, tinyModel } from "./helpers.ts";

interface Request {
  arrivalUs: number;
  inputTokens: number;
  outputTokens: number;
  content: number[];
}

/** Arrivals at half microseconds, each alone at its instant; steps end at whole ones. */
const requestList: fc.Arbitrary<Request[]> = fc
  .array(
    fc.record({
      gapUs: fc.constantFrom(1, 100, 1500, 20_000),
      inputTokens: fc.integer({ min: 16, max: 120 }),
      outputTokens: fc.integer({ min: 1, max: 30 }),
      content: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 40, size: "max" },
  )
  .map((drawn) => {
    let arrivalUs = 0.5;
    return drawn.map(({ gapUs, content, ...rest }) => {
      arrivalUs += gapUs;
      // A block id means everything up to its end.
      let id = 0;
      return { arrivalUs, ...rest, content: content.map((branch) => (id = 4 * id + branch + 1)) };
    });
  });

async function run(
  requests: Request[],
  options: Partial<DeploymentOptions>,
  more: Partial<Parameters<typeof replay>[0]> = {},
): Promise<Report> {
  return replay({
    trace: traceOf(requests, { blockTokens: 16 }),
    deployment: { model: tinyModel, gpu, attention: "balanced", kvBlocks: 40, maxContextTokens: 400, ...options },
    stepTimer: timerOf((step) => 200 + 10 * step.tokens + 5 * step.count),
    seed: 1,
    ...more,
  });
}

const readers = fc.constantFrom("least-outstanding" as const, "least-kv" as const, "prefix-aware" as const);

describe("stale router signals", () => {
  it("of no age are the present behaviour, bit for bit", async () => {
    await fc.assert(
      fc.asyncProperty(requestList, readers, fc.integer({ min: 1, max: 4 }), async (requests, router, replicas) => {
        const bytes = async (more: object) => {
          const { wallClock: _, ...rest } = await run(requests, { router, replicas, ...more });
          return JSON.stringify(rest);
        };
        expect(await bytes({ routerStalenessMs: 0 })).toBe(await bytes({}));
      }),
      { numRuns: 300 },
    );
  });

  it("of an age below the time between any two events change nothing", async () => {
    // Without KV transfers, whose ends may come as close to other events as they like.
    await fc.assert(
      fc.asyncProperty(requestList, readers, async (requests, router) => {
        const placed = async (routerStalenessMs: number) =>
          (await run(requests, { router, replicas: 3, routerStalenessMs })).requests;
        // A quarter of a microsecond, whose multiples are exact.
        expect(await placed(0.00025)).toEqual(await placed(0));
      }),
      { numRuns: 500 },
    );
  });

  it("of any age lose no request in a closed loop, and give the same bytes for the same seed", async () => {
    await fc.assert(
      fc.asyncProperty(
        requestList,
        readers,
        fc.constantFrom(0.25, 1, 30),
        async (requests, router, routerStalenessMs) => {
          const once = async () => {
            const { wallClock: _, ...rest } = await run(
              requests,
              { router, replicas: 3, routerStalenessMs },
              { concurrency: 5 },
            );
            return rest;
          };
          const report = await once();
          expect(report.metrics.completed).toBe(requests.length);
          expect(JSON.stringify(await once())).toBe(JSON.stringify(report));
        },
      ),
      { numRuns: 200 },
    );
  });

  it("send everything that arrives between two polls to the same replica", async () => {
    const requests = Array.from({ length: 300 }, (_, i) => ({
      arrivalUs: 0.5 + i * 1000,
      inputTokens: 20,
      outputTokens: 200,
      content: [],
    }));
    const options = { replicas: 3, router: "least-outstanding" as const, kvBlocks: 4000 };
    const stale = await run(requests, { ...options, routerStalenessMs: 10 });
    const { replica } = stale.requests!;
    for (let start = 0; start < 300; start += 10) expect(new Set(replica.slice(start, start + 10)).size).toBe(1);
    expect(new Set(replica).size).toBe(3);
    const fresh = await run(requests, options);
    expect(stale.metrics.e2eMs.mean).toBeGreaterThan(fresh.metrics.e2eMs.mean!);
    expect(stale.deployment.routerStalenessMs).toBe(10);
    expect(fresh.deployment.routerStalenessMs).toBeUndefined();
  });

  it.each([
    ["a negative age", { router: "least-kv", routerStalenessMs: -1 }, "routerStalenessMs"],
    ["an endless age", { router: "least-kv", routerStalenessMs: Number.POSITIVE_INFINITY }, "routerStalenessMs"],
    ["a router that looks at nothing", { router: "round-robin", routerStalenessMs: 5 }, "router"],
  ] as const)("are refused for %s", async (_, options, field) => {
    await expect(run([], options)).rejects.toMatchObject({ name: "DeploymentError", field });
  });
});

describe("a KV cache that remembers an instant", () => {
  it("answers for it as it answered then, whatever came after", () => {
    const prompt = fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 5 });
    const operation = fc.record({
      kind: fc.constantFrom("arrive", "arrive", "grow", "release", "remember"),
      slot: fc.integer({ min: 0, max: 5 }),
      tokens: fc.integer({ min: 1, max: 60 }),
      path: prompt,
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(operation, { minLength: 1, maxLength: 100, size: "max" }),
        fc.array(prompt, { minLength: 1, maxLength: 8 }),
        (blocks, blocksPerContent, operations, prompts) => {
          const cache = new KvCache({ blocks, blockSizeTokens: 4, blocksPerContent, prefixCaching: true });
          const ids = (path: number[]) =>
            Int32Array.from(path, (_, i) => Number.parseInt(`1${path.slice(0, i + 1).join("")}`, 2));
          const asked = prompts.map(ids);
          const tokensOf = (content: Int32Array) => content.length * blocksPerContent * 4 + 3;
          const ask = () => asked.map((content) => cache.matchTokens(content, tokensOf(content)));
          const held = new Map<number, number>();
          cache.rememberContent();
          let then = ask();
          for (const { kind, slot, tokens, path } of operations) {
            const known = held.get(slot);
            if (kind === "remember") {
              cache.rememberContent();
              then = ask();
            } else if (kind === "arrive" && known === undefined) {
              cache.attach(slot, ids(path), tokens);
              cache.lookup(slot, tokens);
              if (!cache.fits(tokens, 0)) continue;
              cache.admit(slot, tokens);
              held.set(slot, tokens);
            } else if (kind === "grow" && known !== undefined) {
              if (cache.grow(slot, known + tokens)) held.set(slot, known + tokens);
            } else if (kind === "release" && known !== undefined) {
              cache.release(slot, known);
              cache.detach(slot);
              held.delete(slot);
            }
            expect(asked.map((content) => cache.rememberedMatchTokens(content, tokensOf(content)))).toEqual(then);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
