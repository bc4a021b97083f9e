// One vLLM v1 engine written a second time, with plain objects and block by block: the oracle for batching, KV cache,
// pipeline and engine together. It returns every step's batch and every request's times.

import { type NaiveBlock, NaiveBlockPool } from "./naive-block-pool.ts";

export interface NaiveRequest {
  readonly arrivalUs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly content?: readonly number[];
}

export interface NaiveOptions {
  readonly blocks: number;
  readonly blockSize: number;
  readonly traceBlockTokens: number;
  readonly maxRunning: number;
  readonly maxTokens: number;
  readonly prefillThreshold: number;
  readonly prefixCaching: boolean;
  readonly reserveFullInput: boolean;
  readonly watermark: number;
  /** What the host takes for a step, then each stage of the pipeline, and a transfer between two stages. */
  readonly times: (qoLens: readonly number[], kvLens: readonly number[]) => NaiveTimes;
  readonly stages: number;
  /** Two steps in flight, the second with requests whose tokens come from the first; over at this context. */
  readonly async?: { readonly maxContext: number } | undefined;
}

export interface NaiveTimes {
  readonly hostUs: number;
  readonly stageUs: readonly number[];
  readonly transferUs: number;
}

interface InFlight {
  readonly batch: readonly { readonly item: Running; readonly samples: boolean }[];
  readonly endUs: number;
}

interface Running {
  readonly id: number;
  readonly request: NaiveRequest;
  known: number;
  /** Tokens that steps in flight will give, where the engine counts on them. */
  placeholders: number;
  computed: number;
  blocks: NaiveBlock[];
  tokenTimes: number[];
  scheduledUs: number | undefined;
  cached: number | undefined;
  preemptions: number;
}

export interface NaiveResult {
  readonly steps: { readonly ids: number[]; readonly qoLens: number[]; readonly kvLens: number[] }[];
  readonly requests: {
    readonly scheduledUs: number;
    readonly tokenTimes: number[];
    readonly cached: number;
    readonly preemptions: number;
  }[];
  readonly freeBlocks: number;
  /** Of the last step on the last stage. */
  readonly endUs: number;
}

export function naiveEngine(requests: readonly NaiveRequest[], options: NaiveOptions): NaiveResult {
  const { blockSize, maxTokens } = options;
  const pool = new NaiveBlockPool(options.blocks);
  const all: Running[] = requests.map((request, id) => ({
    id,
    request,
    known: request.inputTokens,
    placeholders: 0,
    computed: 0,
    blocks: [],
    tokenTimes: [],
    scheduledUs: undefined,
    cached: undefined,
    preemptions: 0,
  }));
  const arriving = [...all];
  const waiting: Running[] = [];
  let running: Running[] = [];
  const steps: NaiveResult["steps"] = [];
  const inFlight: InFlight[] = [];
  const depth = options.async === undefined ? options.stages : 2;
  const stageFreeUs: number[] = Array.from({ length: options.stages }, () => 0);
  const linkFreeUs = [...stageFreeUs];
  const isInFlight = (item: Running): boolean =>
    inFlight.some(({ batch }) => batch.some((entry) => entry.item === item));
  let now = 0;

  const hashOf = ({ id, request }: Running, block: number): string => {
    const end = (block + 1) * blockSize;
    const traceBlock = Math.ceil(end / options.traceBlockTokens) - 1;
    const content = request.content?.[traceBlock];
    return content !== undefined && end <= request.inputTokens ? `shared ${content} ${end}` : `private ${id} ${block}`;
  };
  const hashFull = (item: Running, tokens: number): void => {
    if (!options.prefixCaching) return;
    for (let i = 0; i < Math.floor(tokens / blockSize); i++) {
      if (item.blocks[i]!.hash === undefined) pool.hash(item.blocks[i]!, hashOf(item, i));
    }
  };
  const capped = (tokens: number, budget: number): number => {
    const limit = options.prefillThreshold > 0 ? Math.min(tokens, options.prefillThreshold) : tokens;
    return Math.min(limit, budget);
  };

  const schedule = (): { item: Running; tokens: number }[] => {
    const batch: { item: Running; tokens: number }[] = [];
    let budget = maxTokens;
    let hasPreempted = false;
    for (let i = 0; i < running.length && budget > 0; i++) {
      const item = running[i]!;
      const { maxContext } = options.async ?? { maxContext: Number.POSITIVE_INFINITY };
      // One known token more, and it ends by its length: nothing to compute behind that.
      if (item.placeholders > 0 && item.computed + 2 - item.placeholders >= maxContext) continue;
      const tokens = capped(item.known + item.placeholders - item.computed, budget);
      if (tokens === 0) continue;
      const missing = (): number => Math.ceil((item.computed + tokens) / blockSize) - item.blocks.length;
      while (missing() > pool.free.length && running.includes(item)) {
        const victim = running.pop()!;
        hasPreempted = true;
        pool.release(victim.blocks);
        victim.blocks = [];
        victim.computed = 0;
        victim.preemptions++;
        waiting.unshift(victim);
      }
      if (!running.includes(item)) break;
      item.blocks.push(...pool.take(Math.max(0, missing())));
      hashFull(item, item.computed + tokens);
      batch.push({ item, tokens });
      budget -= tokens;
    }
    while (!hasPreempted && waiting.length > 0 && budget > 0 && running.length < options.maxRunning) {
      const item = waiting[0]!;
      if (isInFlight(item)) break;
      const hashes = Array.from({ length: Math.floor((item.known - 1) / blockSize) }, (_, i) => hashOf(item, i));
      const hits = options.prefixCaching ? pool.match(hashes) : [];
      const cached = hits.length * blockSize;
      const tokens = capped(item.known - cached, budget);
      const needs = (total: number): number =>
        Math.ceil(total / blockSize) - hits.length + hits.filter(({ users }) => users === 0).length;
      const spare = running.length > 0 ? Math.floor(options.watermark * options.blocks) : 0;
      const total = options.reserveFullInput ? item.known : cached + tokens;
      if (needs(total) + spare > pool.free.length) break;
      waiting.shift();
      running.push(item);
      pool.touch(hits);
      item.blocks = [...hits, ...pool.take(Math.ceil((cached + tokens) / blockSize) - hits.length)];
      item.computed = cached;
      hashFull(item, cached + tokens);
      item.scheduledUs ??= now;
      item.cached ??= cached;
      batch.push({ item, tokens });
      budget -= tokens;
    }

    for (const { item, tokens } of batch) item.computed += tokens;
    return batch;
  };

  /** Host, then stage by stage; each has one step at a time. */
  const pass = ({ hostUs, stageUs, transferUs }: NaiveTimes): number => {
    let at = now + hostUs;
    stageUs.forEach((us, stage) => {
      at = Math.max(at, stageFreeUs[stage]!) + us;
      stageFreeUs[stage] = at;
      if (stage === stageUs.length - 1) return;
      at = Math.max(at, linkFreeUs[stage]!) + transferUs;
      linkFreeUs[stage] = at;
    });
    return at;
  };

  const land = ({ batch, endUs }: InFlight): void => {
    for (const { item, samples } of batch) {
      if (!samples || item.tokenTimes.length === item.request.outputTokens) continue;
      if (options.async !== undefined) item.placeholders--;
      item.known++;
      item.tokenTimes.push(endUs);
      if (item.tokenTimes.length < item.request.outputTokens) continue;
      running = running.filter((other) => other !== item);
      const place = waiting.indexOf(item);
      if (place >= 0) waiting.splice(place, 1);
      pool.release(item.blocks);
    }
  };

  while (arriving.length + waiting.length + running.length + inFlight.length > 0) {
    if (waiting.length + running.length + inFlight.length === 0) now = Math.max(now, arriving[0]!.request.arrivalUs);
    while (arriving.length > 0 && arriving[0]!.request.arrivalUs <= now) waiting.push(arriving.shift()!);
    if (inFlight.length > 0 && inFlight[0]!.endUs <= now) land(inFlight.shift()!);
    const batch = waiting.length + running.length > 0 && inFlight.length < depth ? schedule() : [];
    if (batch.length === 0) {
      // Everybody is in flight or waits for somebody who is: the engine blocks until the oldest step is back.
      if (inFlight.length > 0) now = Math.max(now, inFlight[0]!.endUs);
      continue;
    }
    const qoLens = batch.map(({ tokens }) => tokens);
    const kvLens = batch.map(({ item }) => item.computed);
    steps.push({ ids: batch.map(({ item }) => item.id), qoLens, kvLens });
    const times = options.times(qoLens, kvLens);
    const entries = batch.map(({ item }) => ({ item, samples: item.computed === item.known + item.placeholders }));
    if (options.async !== undefined) for (const { item, samples } of entries) if (samples) item.placeholders++;
    inFlight.push({ batch: entries, endUs: pass(times) });
    now += times.hostUs;
    if (inFlight.length === depth) now = Math.max(now, inFlight[0]!.endUs);
  }
  return {
    steps,
    requests: all.map(({ scheduledUs, tokenTimes, cached, preemptions }) => ({
      scheduledUs: scheduledUs!,
      tokenTimes,
      cached: cached!,
      preemptions,
    })),
    freeBlocks: pool.free.length,
    endUs: stageFreeUs.at(-1)!,
  };
}
