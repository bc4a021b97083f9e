// Runs the pieces of a plan on lanes (resident CTAs) that share memory bandwidth and tensor throughput.
//
// A piece waits its start-up latency, then moves its bytes and does its flops side by side, then waits its write-out
// latency. Bytes: the n lanes that stream at a moment get an equal share each, `streamBytesPerUs[n]`; in the virtual
// time V, which advances by that share, a stream of b bytes that starts at V ends at V + b however n changes, so one
// heap orders all ends. Latencies are the same for all pieces of a launch, so their ends come in the order of their
// starts: a queue. An event costs O(log lanes); nothing is allocated once the arrays have grown to the plan.

import type { Plan } from "@isochron/planner";
import { Piece } from "@isochron/planner";
import type { KernelCosts } from "./kernel-costs.ts";
import { computeUs, launchUs as launchUsOf } from "./kernel-costs.ts";
import { KvResidency } from "./kv-residency.ts";
import { Lanes } from "./lanes.ts";
import type { PieceRecorder } from "./piece-recorder.ts";
import { StreamHeap } from "./stream-heap.ts";
import { TensorShares } from "./tensor-shares.ts";
import type { WorkTotals } from "./work-totals.ts";

export class FluidEngine {
  readonly lanes: Lanes = new Lanes();
  /** Whether L2 holds the whole KV cache at launch, as when one batch is timed over and over. */
  kvIsWarm = false;

  private heap = new StreamHeap(0);
  private queueLane = new Int32Array(0);
  private queueUs = new Float64Array(0);
  private tensor = new TensorShares(1, 0, 1);
  private readonly residency = new KvResidency();
  private laneParts = new Int32Array(0);
  private laneHbmShare = new Float64Array(0);
  private laneDrainedUs = new Float64Array(0);

  run(plan: Plan, costs: KernelCosts, totals: WorkTotals, recorder: PieceRecorder | null): Lanes {
    const { pieces } = plan;
    const { laneCount, streamBytesPerUs, startUs, writeOutUs, l2ByteCost } = costs;
    const launchUs = launchUsOf(costs, plan);
    this.grow(costs);
    const { heap, tensor, queueLane, queueUs, residency, lanes, laneParts, laneHbmShare, laneDrainedUs, kvIsWarm } =
      this;
    const { tensorMayBind, kvIsShared } = totals;
    const persistent = plan.isPersistent;
    // CTAs of a grid start afresh, but not where a CTA takes one tile after another; pieces of a persistent worker may have
    // been prefetched.
    const drains = costs.drainUs > 0 || costs.drainRowUs > 0;
    const requestsBetween = persistent ? 0 : (laneCount * plan.requestCount) / plan.workers;
    const nextStartUs = (persistent || drains ? costs.nextStartUs : startUs) + requestsBetween * costs.walkUs;
    const nextLatencyUs = nextStartUs + writeOutUs;
    if (kvIsShared) residency.reset(plan, costs.l2Bytes);

    lanes.launch(plan, laneCount, launchUs, startUs + writeOutUs);
    const { record: laneRecord, head: laneHead, takenUs: laneTakenUs } = lanes;
    const { laneEndUs, laneLatencyUs, laneBusyUs } = lanes;
    let queueHead = 0;
    let queued = 0;
    for (let lane = 0; lane < laneCount; lane++) {
      if (laneRecord[lane]! < 0) continue;
      queueLane[queued] = lane;
      queueUs[queued++] = launchUs + startUs;
    }

    let nowUs = launchUs;
    let virtualBytes = 0;
    let hbmBytes = 0;
    let l2ServedBytes = 0;
    let hbmShares = 0;
    for (;;) {
      const streams = heap.size;
      const rate = streamBytesPerUs[streams]!;
      const startAt = queued > 0 ? queueUs[queueHead]! : Number.POSITIVE_INFINITY;
      const streamAt = streams > 0 ? nowUs + (heap.firstKey() - virtualBytes) / rate : Number.POSITIVE_INFINITY;
      const tensorAt = tensorMayBind ? tensor.firstUs : Number.POSITIVE_INFINITY;
      let lane: number;
      if (startAt <= streamAt && startAt <= tensorAt) {
        if (startAt === Number.POSITIVE_INFINITY) break;
        // A start-up is over: the lane begins to stream and to compute.
        if (recorder !== null) recorder.advance(nowUs, startAt, (hbmShares * rate) / 1000);
        virtualBytes += (startAt - nowUs) * rate;
        nowUs = startAt;
        lane = queueLane[queueHead]!;
        queueHead = queueHead + 1 === laneCount ? 0 : queueHead + 1;
        queued--;
        const at = laneRecord[lane]! * Piece.stride;
        const kvStart = pieces[at + Piece.kvStart]!;
        const kvEnd = pieces[at + Piece.kvEnd]!;
        const rowsField = pieces[at + Piece.rows]!;
        const rows = rowsField & 0xffff;
        const rowBytes =
          costs.queryRowBytes + (pieces[at + Piece.slot]! < 0 ? costs.outputRowBytes : costs.partialRowBytes);
        let fromHbm = (kvEnd - kvStart) * costs.kvBytesPerToken + rows * rowBytes;
        let cost = fromHbm;
        if (kvIsWarm) {
          const hit = (kvEnd - kvStart) * costs.kvBytesPerToken;
          fromHbm -= hit;
          cost = fromHbm + hit * l2ByteCost;
          l2ServedBytes += hit;
        } else if (kvIsShared && kvEnd > kvStart) {
          const key = residency.keyOf(pieces[at + Piece.request]!, pieces[at + Piece.head]! + laneHead[lane]!);
          const hit = residency.touch(key, kvStart, kvEnd, hbmBytes) * costs.kvBytesPerToken;
          fromHbm -= hit;
          cost = fromHbm + hit * l2ByteCost;
          l2ServedBytes += hit;
        }
        hbmBytes += fromHbm;
        if (recorder !== null) {
          laneHbmShare[lane] = cost > 0 ? fromHbm / cost : 0;
          hbmShares += laneHbmShare[lane]!;
        }
        heap.push(lane, virtualBytes + cost);
        if (!tensorMayBind) continue;
        laneParts[lane] = 2;
        // The warps that compute are at it once they have finished the piece before.
        const lagUs = drains ? drainLag(laneDrainedUs[lane]!, rows * costs.queryRowUs, nowUs) : 0;
        tensor.begin(lane, lagUs + computeUs(costs, kvStart, kvEnd, rows, rowsField >>> 16), nowUs);
        continue;
      }
      if (streamAt <= tensorAt) {
        if (recorder !== null) recorder.advance(nowUs, streamAt, (hbmShares * rate) / 1000);
        nowUs = streamAt;
        virtualBytes = heap.firstKey();
        lane = heap.pop();
        if (recorder !== null) hbmShares = heap.size === 0 ? 0 : hbmShares - laneHbmShare[lane]!;
      } else {
        if (recorder !== null) recorder.advance(nowUs, tensorAt, (hbmShares * rate) / 1000);
        virtualBytes += (tensorAt - nowUs) * rate;
        nowUs = tensorAt;
        lane = tensor.endFirst();
      }
      if (tensorMayBind && --laneParts[lane]! > 0) continue;

      // All of the piece is there: write out, and take the next one.
      let pieceEndUs = nowUs + writeOutUs;
      let freeUs = pieceEndUs;
      const busyFromUs = Math.max(laneTakenUs[lane]!, laneDrainedUs[lane]!);
      if (drains) {
        // The lane takes the next piece, and finishes this one meanwhile.
        const rows = pieces[laneRecord[lane]! * Piece.stride + Piece.rows]! & 0xffff;
        freeUs = nowUs;
        pieceEndUs = nowUs + costs.drainUs + rows * costs.drainRowUs;
        laneDrainedUs[lane] = pieceEndUs;
      }
      if (recorder !== null) recorder.piece(lane, laneRecord[lane]!, laneHead[lane]!, busyFromUs, pieceEndUs);
      laneBusyUs[lane]! += pieceEndUs - busyFromUs;
      laneEndUs[lane] = pieceEndUs;
      laneTakenUs[lane] = freeUs;
      if (lanes.advance(lane) < 0) continue;
      laneLatencyUs[lane]! += nextLatencyUs;
      let tail = queueHead + queued++;
      if (tail >= laneCount) tail -= laneCount;
      queueLane[tail] = lane;
      queueUs[tail] = freeUs + nextStartUs;
    }
    lanes.hbmBytes = hbmBytes;
    lanes.l2ServedBytes = l2ServedBytes;
    return lanes;
  }

  private grow(costs: KernelCosts): void {
    const { laneCount } = costs;
    if (this.laneParts.length < laneCount) {
      this.heap = new StreamHeap(laneCount);
      this.queueLane = new Int32Array(laneCount);
      this.queueUs = new Float64Array(laneCount);
      this.laneParts = new Int32Array(laneCount);
      this.laneHbmShare = new Float64Array(laneCount);
      this.laneDrainedUs = new Float64Array(laneCount);
    }
    this.tensor = this.tensor.sizedFor(costs);
    this.laneDrainedUs.fill(0);
  }
}

/** How long the warps that compute wait for a first piece's queries, or are still busy with the piece before. */
function drainLag(drainedUs: number, queryUs: number, nowUs: number): number {
  return drainedUs === 0 ? queryUs : Math.max(0, drainedUs - nowUs);
}
