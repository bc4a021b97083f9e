// Runs the pieces of a plan on lanes (resident CTAs) that share memory bandwidth and tensor throughput.
//
// A piece waits its start-up latency, then moves its bytes and does its flops side by side, then waits its write-out
// latency. Bytes: the n lanes that stream at a moment get an equal share each, `streamBytesPerUs[n]`; in the virtual
// time V, which advances by that share, a stream of b bytes that starts at V ends at V + b however n changes, so one
// heap orders all ends. Latencies are the same for all pieces of a launch, so their ends come in the order of their
// starts: a queue. An event costs O(log lanes); nothing is allocated once the arrays have grown to the plan.

import type { Plan } from "@isochron/planner";
import { Header, Piece, partialStates } from "@isochron/planner";
import { placeFirstWave } from "./first-wave.ts";
import type { KernelCosts } from "./kernel-costs.ts";
import { computeUs, launchUs as launchUsOf } from "./kernel-costs.ts";
import { KvResidency } from "./kv-residency.ts";
import type { PieceRecorder } from "./piece-recorder.ts";
import { StreamHeap } from "./stream-heap.ts";
import { TensorShares } from "./tensor-shares.ts";
import type { WorkTotals } from "./work-totals.ts";

export class FluidEngine {
  /** When the last piece was written out; the launch latency when there is none. */
  endUs = 0;
  /** Bytes that came from or went to HBM, and bytes that L2 served. */
  hbmBytes = 0;
  l2ServedBytes = 0;
  /** By lane: end of its last piece (launchUs when it had none), and time in start-up and write-out. */
  laneEndUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  laneLatencyUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  laneBusyUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  /** By partial slot: when it was written; 0 for slots no piece names. */
  slotEndUs: Float64Array<ArrayBuffer> = new Float64Array(0);

  /** Whether L2 holds the whole KV cache at launch, as when one batch is timed over and over. */
  kvIsWarm = false;

  private heap = new StreamHeap(0);
  private tensor = new TensorShares(1, 0, 1);
  private readonly residency = new KvResidency();
  private queueLane = new Int32Array(0);
  private queueUs = new Float64Array(0);
  private laneRecord = new Int32Array(0);
  private laneRecordEnd = new Int32Array(0);
  private laneHead = new Int32Array(0);
  private laneParts = new Int32Array(0);
  private laneTakenUs = new Float64Array(0);
  private laneHbmShare = new Float64Array(0);
  private laneDrainedUs = new Float64Array(0);

  run(plan: Plan, costs: KernelCosts, totals: WorkTotals, recorder: PieceRecorder | null): void {
    const { header, pieces, workerPieceIndptr } = plan;
    const { laneCount, unitCount, streamBytesPerUs, startUs, writeOutUs, l2ByteCost } = costs;
    const launchUs = launchUsOf(costs, plan);
    this.grow(laneCount, unitCount, costs.leastSharers, plan.partialSlotCount);
    const { heap, tensor, residency, queueLane, queueUs } = this;
    const { laneRecord, laneRecordEnd, laneHead, laneParts, laneTakenUs, laneHbmShare } = this;
    const { laneEndUs, laneLatencyUs, laneBusyUs, slotEndUs } = this;
    const { tensorMayBind, kvIsShared } = totals;
    const persistent = plan.isPersistent;
    const workers = plan.workers;
    // CTAs of a grid start afresh, but not where a CTA takes one tile after another; pieces of a persistent worker may have
    // been prefetched.
    const drains = costs.drainUs > 0 || costs.drainRowUs > 0;
    const requestsBetween = persistent ? 0 : (laneCount * plan.requestCount) / workers;
    const nextStartUs = (persistent || drains ? costs.nextStartUs : startUs) + requestsBetween * costs.walkUs;
    const { kvIsWarm, laneDrainedUs } = this;
    const latencyUs = startUs + writeOutUs;
    const nextLatencyUs = nextStartUs + writeOutUs;
    const headsPerKvHead = header[Header.packedHeads]! === 1 ? header[Header.queryHeads]! / header[Header.kvHeads]! : 1;
    const kvHeads = header[Header.kvHeads]!;
    const requestCount = plan.requestCount;
    if (kvIsShared) residency.reset((requestCount + header[Header.groupCount]!) * kvHeads, costs.l2Bytes);

    let queueHead = 0;
    let queued = 0;
    let nextWorker = placeFirstWave(plan, laneCount, laneRecord, laneRecordEnd);
    for (let lane = 0; lane < laneCount; lane++) {
      laneEndUs[lane] = launchUs;
      const worker = laneRecord[lane]!;
      if (worker < 0) continue;
      laneRecord[lane] = workerPieceIndptr[worker]!;
      laneRecordEnd[lane] = workerPieceIndptr[worker + 1]!;
      laneHead[lane] = 0;
      laneTakenUs[lane] = launchUs;
      laneLatencyUs[lane] = latencyUs;
      queueLane[queued] = lane;
      queueUs[queued++] = launchUs + startUs;
    }

    let nowUs = launchUs;
    let endUs = launchUs;
    let virtualBytes = 0;
    let hbmBytes = 0;
    let l2ServedBytes = 0;
    let hbmShares = 0;
    for (;;) {
      const streams = heap.size;
      const rate = streamBytesPerUs[streams]!;
      const queueAt = queued > 0 ? queueUs[queueHead]! : Number.POSITIVE_INFINITY;
      const streamAt = streams > 0 ? nowUs + (heap.firstKey() - virtualBytes) / rate : Number.POSITIVE_INFINITY;
      const tensorAt = tensorMayBind ? tensor.firstUs : Number.POSITIVE_INFINITY;
      let lane: number;
      if (queueAt <= streamAt && queueAt <= tensorAt) {
        if (queueAt === Number.POSITIVE_INFINITY) break;
        // A start-up is over: the lane begins to stream and to compute.
        if (recorder !== null) recorder.advance(nowUs, queueAt, (hbmShares * rate) / 1000);
        virtualBytes += (queueAt - nowUs) * rate;
        nowUs = queueAt;
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
          const request = pieces[at + Piece.request]!;
          const owner = request >= 0 ? request : requestCount - 1 - request;
          const head = ((pieces[at + Piece.head]! + laneHead[lane]!) / headsPerKvHead) | 0;
          const hit = residency.touch(owner * kvHeads + head, kvStart, kvEnd, hbmBytes) * costs.kvBytesPerToken;
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
      if (pieceEndUs > endUs) endUs = pieceEndUs;
      let record = laneRecord[lane]!;
      let head = laneHead[lane]!;
      const at = record * Piece.stride;
      const slot = pieces[at + Piece.slot]!;
      if (slot >= 0) {
        const states = partialStates(plan, at);
        slotEndUs[slot + head * states] = pieceEndUs;
      }
      if (recorder !== null) recorder.piece(lane, record, head, busyFromUs, pieceEndUs);
      laneBusyUs[lane]! += pieceEndUs - busyFromUs;
      laneTakenUs[lane] = freeUs;
      laneEndUs[lane] = pieceEndUs;
      if (++head === pieces[record * Piece.stride + Piece.headCount]!) {
        head = 0;
        record++;
        let recordEnd = laneRecordEnd[lane]!;
        if (record === recordEnd && !persistent) {
          while (record === recordEnd && nextWorker < workers) {
            record = workerPieceIndptr[nextWorker]!;
            recordEnd = workerPieceIndptr[++nextWorker]!;
          }
          laneRecordEnd[lane] = recordEnd;
        }
        if (record === recordEnd) continue;
        laneRecord[lane] = record;
      }
      laneHead[lane] = head;
      laneLatencyUs[lane]! += nextLatencyUs;
      let tail = queueHead + queued++;
      if (tail >= laneCount) tail -= laneCount;
      queueLane[tail] = lane;
      queueUs[tail] = freeUs + nextStartUs;
    }
    this.endUs = endUs;
    this.hbmBytes = hbmBytes;
    this.l2ServedBytes = l2ServedBytes;
  }

  private grow(laneCount: number, unitCount: number, leastSharers: number, slots: number): void {
    if (this.laneRecord.length < laneCount) {
      this.heap = new StreamHeap(laneCount);
      this.queueLane = new Int32Array(laneCount);
      this.queueUs = new Float64Array(laneCount);
      this.laneRecord = new Int32Array(laneCount);
      this.laneRecordEnd = new Int32Array(laneCount);
      this.laneHead = new Int32Array(laneCount);
      this.laneParts = new Int32Array(laneCount);
      this.laneTakenUs = new Float64Array(laneCount);
      this.laneHbmShare = new Float64Array(laneCount);
      this.laneDrainedUs = new Float64Array(laneCount);
      this.laneEndUs = new Float64Array(laneCount);
      this.laneLatencyUs = new Float64Array(laneCount);
      this.laneBusyUs = new Float64Array(laneCount);
    }
    if (!this.tensor.fits(unitCount, laneCount, leastSharers)) {
      this.tensor = new TensorShares(unitCount, laneCount, leastSharers);
    }
    if (this.slotEndUs.length < slots) this.slotEndUs = new Float64Array(slots * 2);
    this.slotEndUs.fill(0, 0, slots);
    this.laneLatencyUs.fill(0);
    this.laneDrainedUs.fill(0);
    this.laneBusyUs.fill(0);
  }
}

/** How long the warps that compute wait for a first piece's queries, or are still busy with the piece before. */
function drainLag(drainedUs: number, queryUs: number, nowUs: number): number {
  return drainedUs === 0 ? queryUs : Math.max(0, drainedUs - nowUs);
}
