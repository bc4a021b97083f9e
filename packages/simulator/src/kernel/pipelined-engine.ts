// Runs the pieces of a grid whose kernel's pipeline is known in detail: bytes come in before anything is computed, the last
// flops follow the last byte, empty CTAs take time, and pieces that share KV follow each other through L2.
//
// The same virtual time and heap of streams as in fluid-engine.ts; a piece streams in stretches. Its arithmetic begins when
// the first stretch (costs.fillTokens) is in and as much of it follows the last byte. Where pieces share KV that L2 cannot
// hold altogether, stretches are short, so that a reader finds in L2 what another one has just brought there and not what is
// gone again, and whoever wants what somebody is just bringing in waits for it. More events a piece, hence an engine apart.

import type { Plan } from "@isochron/planner";
import { Header, Piece, partialStates, Request } from "@isochron/planner";
import { placeFirstWave } from "./first-wave.ts";
import type { KernelCosts } from "./kernel-costs.ts";
import { computeUs, launchUs as launchUsOf } from "./kernel-costs.ts";
import { KvResidency } from "./kv-residency.ts";
import type { PieceRecorder } from "./piece-recorder.ts";
import { StartQueue } from "./start-queue.ts";
import { StreamHeap } from "./stream-heap.ts";
import { TensorShares } from "./tensor-shares.ts";
import type { WorkTotals } from "./work-totals.ts";

/** Where a lane is in its piece: bits of laneStage. */
const STREAMING = 1;
const COMPUTING = 2;
/** Its arithmetic waits for the first stretch. */
const FILLING = 4;
/** Its last arithmetic, after the last byte, is still to come. */
const OWES_LAST = 8;
/** Its next stretch waits until the last one has been computed. */
const PACED = 16;

const WHOLE: number = Number.MAX_SAFE_INTEGER;

export class PipelinedEngine {
  /** As in FluidEngine. */
  endUs = 0;
  hbmBytes = 0;
  l2ServedBytes = 0;
  laneEndUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  laneLatencyUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  laneBusyUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  slotEndUs: Float64Array<ArrayBuffer> = new Float64Array(0);
  kvIsWarm = false;

  private heap = new StreamHeap(0);
  private starts = new StartQueue(0);
  private paces = new StreamHeap(0);
  private tensor = new TensorShares(1, 0, 1);
  private readonly residency = new KvResidency();
  private laneRecord = new Int32Array(0);
  private laneRecordEnd = new Int32Array(0);
  private laneHead = new Int32Array(0);
  private laneIdle = new Int32Array(0);
  private laneStage = new Uint8Array(0);
  /** KV token up to which the stretches of the lane's piece go so far. */
  private laneToken = new Int32Array(0);
  private laneTakenUs = new Float64Array(0);
  private laneHbmShare = new Float64Array(0);
  private lanePaceUs = new Float64Array(0);
  /** Cell of L2 that the lane is bringing in, −1: none; the first lane that follows it, and the next one after each. */
  private laneCell = new Int32Array(0);
  private laneFollower = new Int32Array(0);
  private laneNextFollower = new Int32Array(0);
  /** Lane + 1 of whoever is bringing a cell of L2 in; 0: nobody is. */
  private cellBringer = new Int32Array(0);

  run(plan: Plan, costs: KernelCosts, totals: WorkTotals, recorder: PieceRecorder | null): void {
    const { header, pieces, requests, workerPieceIndptr, workers, requestCount } = plan;
    const { laneCount, streamBytesPerUs, startUs, writeOutUs, l2ByteCost, fillTokens, emptyCtaUs } = costs;
    const launchUs = launchUsOf(costs, plan);
    const { kvIsShared } = totals;
    const persistent = plan.isPersistent;
    const nextStartUs = persistent ? costs.nextStartUs : startUs;
    const latencyUs = startUs + writeOutUs;
    const nextLatencyUs = nextStartUs + writeOutUs;
    const packedHeads = header[Header.packedHeads]!;
    const headsPerKvHead = packedHeads === 1 ? header[Header.queryHeads]! / header[Header.kvHeads]! : 1;
    const kvHeads = header[Header.kvHeads]!;
    // What is shared either stays in L2 from its first reader to its last, or is followed stretch by stretch.
    const overflowsL2 = headsPerKvHead > 1 && kvIsShared && !this.kvIsWarm && totals.uniqueBytes > costs.l2Bytes;
    const stretchTokens = overflowsL2 ? costs.stretchTokens : WHOLE;
    const cellsPerKey = overflowsL2 ? Math.ceil(totals.longestKvEnd / stretchTokens) : 1;
    const cells = kvIsShared ? (requestCount + header[Header.groupCount]!) * kvHeads * cellsPerKey : 0;
    this.grow(costs, plan.partialSlotCount, cells);
    const { heap, starts, paces, tensor, residency, cellBringer, kvIsWarm } = this;
    const { laneRecord, laneRecordEnd, laneHead, laneStage, laneToken, laneTakenUs, laneHbmShare } = this;
    const { laneEndUs, laneLatencyUs, laneBusyUs, slotEndUs, lanePaceUs } = this;
    const { laneCell, laneFollower, laneNextFollower } = this;
    const countsFlow = overflowsL2 || recorder !== null;
    if (kvIsShared) residency.reset(cells, costs.l2Bytes);

    // Memory serves the first stretches one after another: lanes that all do the same are not in step from then on.
    const turnBytes = fillTokens * costs.kvBytesPerToken * (totals.uniqueBytes / totals.bytes);
    const turnUs = turnBytes / costs.peakBytesPerUs;
    let turnsUs = 0;
    const { laneIdle } = this;
    let nextWorker = placeFirstWave(plan, laneCount, laneRecord, laneIdle);
    laneEndUs.fill(launchUs, 0, laneCount);
    // Those that run idle CTAs first come later, also to memory.
    for (let late = 0; late < 2; late++) {
      for (let lane = 0; lane < laneCount; lane++) {
        const worker = laneRecord[lane]!;
        const idle = laneIdle[lane]!;
        if (worker < 0 || Math.min(idle, 1) !== late) continue;
        laneRecord[lane] = workerPieceIndptr[worker]!;
        laneRecordEnd[lane] = workerPieceIndptr[worker + 1]!;
        laneHead[lane] = 0;
        laneTakenUs[lane] = launchUs;
        laneLatencyUs[lane] = latencyUs;
        starts.push(lane, launchUs + startUs + turnsUs + idle * emptyCtaUs);
        turnsUs += turnUs;
      }
    }

    let nowUs = launchUs;
    let endUs = launchUs;
    let virtualBytes = 0;
    let hbmBytes = 0;
    let l2ServedBytes = 0;
    let hbmShares = 0;
    let flowedBytes = 0;
    // The first of the lanes that follow one whose stretch has just come in.
    let arrived = -1;
    for (;;) {
      const streams = heap.size;
      const rate = streamBytesPerUs[streams]!;
      const startAt = starts.firstUs;
      const streamAt = streams > 0 ? nowUs + (heap.firstKey() - virtualBytes) / rate : Number.POSITIVE_INFINITY;
      const tensorAt = tensor.firstUs;
      const paceAt = paces.size > 0 ? paces.firstKey() : Number.POSITIVE_INFINITY;
      const beforeUs = nowUs;
      const isArrival = arrived >= 0;
      const isPace = !isArrival && paceAt <= startAt && paceAt <= streamAt && paceAt <= tensorAt;
      const isStart = !isArrival && !isPace && startAt <= streamAt && startAt <= tensorAt;
      const isHeap = !isArrival && !isPace && !isStart && streamAt <= tensorAt;
      const isStream = isHeap || isArrival;
      nowUs = isArrival ? nowUs : isPace ? paceAt : isStart ? startAt : isHeap ? streamAt : tensorAt;
      if (nowUs === Number.POSITIVE_INFINITY) break;
      if (countsFlow) {
        flowedBytes += (nowUs - beforeUs) * hbmShares * rate;
        if (recorder !== null) recorder.advance(beforeUs, nowUs, (hbmShares * rate) / 1000);
      }
      virtualBytes = isHeap ? heap.firstKey() : virtualBytes + (nowUs - beforeUs) * rate;

      let lane = arrived;
      if (isArrival) arrived = laneNextFollower[lane]!;
      else lane = isPace ? paces.pop() : isStart ? starts.pop() : isHeap ? heap.pop() : tensor.endFirst();
      const at = laneRecord[lane]! * Piece.stride;
      const kvStart = pieces[at + Piece.kvStart]!;
      const kvEnd = pieces[at + Piece.kvEnd]!;
      const rowsField = pieces[at + Piece.rows]!;
      const rows = rowsField & 0xffff;
      const tileRows = rowsField >>> 16;
      let stage = isStart ? 0 : laneStage[lane]!;
      if (isStream) {
        stage &= ~STREAMING;
        if (isHeap && countsFlow) {
          hbmShares = heap.size === 0 ? 0 : hbmShares - laneHbmShare[lane]!;
          if (laneCell[lane]! >= 0) {
            cellBringer[laneCell[lane]!] = 0;
            laneCell[lane] = -1;
            arrived = laneFollower[lane]!;
            laneFollower[lane] = -1;
          }
        }
      } else if (isPace) {
        stage &= ~PACED;
      } else if (!isStart) {
        stage &= ~COMPUTING;
      }
      const token = isStart ? kvStart : laneToken[lane]!;
      if (isStream && token < kvEnd && lanePaceUs[lane]! > nowUs && (stage & FILLING) === 0) {
        paces.push(lane, lanePaceUs[lane]!);
        laneStage[lane] = stage | PACED;
        continue;
      }
      if (isStart || ((isStream || isPace) && token < kvEnd)) {
        // The next stretch: all that is left, unless the pipeline has to fill first, or stretches are short.
        const request = pieces[at + Piece.request]!;
        const isReread =
          kvIsShared &&
          (headsPerKvHead > 1 ||
            request < 0 ||
            requests[request * Request.stride + Request.qoLen]! * packedHeads > tileRows);
        let end = kvEnd;
        if (isReread && overflowsL2) end = Math.min(end, (Math.floor(token / stretchTokens) + 1) * stretchTokens);
        if (isStart) {
          end = Math.min(end, kvStart + fillTokens);
          stage = FILLING;
        }
        laneToken[lane] = end;
        lanePaceUs[lane] = overflowsL2 && end < kvEnd ? nowUs + flopsUs(costs, end - token, tileRows) : 0;
        const kvBytes = (end - token) * costs.kvBytesPerToken;
        let bytes = kvBytes;
        if (isStart) {
          const isPartial = pieces[at + Piece.slot]! >= 0;
          bytes += rows * (costs.queryRowBytes + (isPartial ? costs.partialRowBytes : costs.outputRowBytes));
        }
        let hit = 0;
        let cell = -1;
        let leader = -1;
        if (kvIsWarm) {
          hit = kvBytes;
        } else if (isReread && kvBytes > 0) {
          const owner = request >= 0 ? request : requestCount - 1 - request;
          const head = ((pieces[at + Piece.head]! + laneHead[lane]!) / headsPerKvHead) | 0;
          cell = (owner * kvHeads + head) * cellsPerKey + (overflowsL2 ? Math.floor(token / stretchTokens) : 0);
          hit = residency.touch(cell, token, end, overflowsL2 ? flowedBytes : 0) * costs.kvBytesPerToken;
          if (overflowsL2) leader = cellBringer[cell]! - 1;
        }
        const follows = leader >= 0 && hit === kvBytes;
        let cost = bytes - hit + hit * l2ByteCost;
        // All of what fills a pipeline is asked for at once.
        if (isStart) cost *= rate / costs.fillBytesPerUs[streams]!;
        // The rows of a piece that waits for another one's KV come in meanwhile, from L2, where queries were just written.
        const servedBytes = follows ? bytes : hit;
        hbmBytes += bytes - servedBytes;
        l2ServedBytes += servedBytes;
        if (follows) {
          laneNextFollower[lane] = laneFollower[leader]!;
          laneFollower[leader] = lane;
        } else {
          if (countsFlow) {
            laneHbmShare[lane] = cost > 0 ? (bytes - hit) / cost : 0;
            hbmShares += laneHbmShare[lane]!;
          }
          if (overflowsL2 && cell >= 0 && leader < 0 && hit < kvBytes) {
            cellBringer[cell] = lane + 1;
            laneCell[lane] = cell;
          }
          heap.push(lane, virtualBytes + cost);
        }
        stage |= STREAMING;
        if (!isStart && (stage & FILLING) !== 0) {
          const workUs = computeUs(costs, kvStart, kvEnd, rows, tileRows);
          tensor.begin(lane, workUs - Math.min(workUs, flopsUs(costs, fillTokens, tileRows)), nowUs);
          stage = (stage & ~FILLING) | COMPUTING | OWES_LAST;
        }
        laneStage[lane] = stage;
        continue;
      }
      if ((stage & FILLING) !== 0) {
        // It has filled the pipeline and is all there.
        tensor.begin(lane, computeUs(costs, kvStart, kvEnd, rows, tileRows), nowUs);
        stage = COMPUTING;
      } else if (stage === OWES_LAST) {
        const workUs = computeUs(costs, kvStart, kvEnd, rows, tileRows);
        tensor.begin(lane, Math.min(workUs, flopsUs(costs, fillTokens, tileRows)), nowUs);
        stage = COMPUTING;
      }
      laneStage[lane] = stage;
      if ((stage & (STREAMING | COMPUTING | PACED)) !== 0) continue;

      // All of the piece is there: write out, and take the next one.
      const pieceEndUs = nowUs + writeOutUs;
      if (pieceEndUs > endUs) endUs = pieceEndUs;
      let record = laneRecord[lane]!;
      let head = laneHead[lane]!;
      const slot = pieces[at + Piece.slot]!;
      if (slot >= 0) slotEndUs[slot + head * partialStates(plan, at)] = pieceEndUs;
      if (recorder !== null) recorder.piece(lane, record, head, laneTakenUs[lane]!, pieceEndUs);
      laneBusyUs[lane]! += pieceEndUs - laneTakenUs[lane]!;
      laneTakenUs[lane] = pieceEndUs;
      laneEndUs[lane] = pieceEndUs;
      let passedOver = 0;
      if (++head === pieces[at + Piece.headCount]!) {
        head = 0;
        record++;
        let recordEnd = laneRecordEnd[lane]!;
        if (record === recordEnd && !persistent) {
          const firstWorker = nextWorker;
          while (record === recordEnd && nextWorker < workers) {
            record = workerPieceIndptr[nextWorker]!;
            recordEnd = workerPieceIndptr[++nextWorker]!;
          }
          passedOver = nextWorker - firstWorker - 1;
          laneRecordEnd[lane] = recordEnd;
        }
        if (record === recordEnd) continue;
        laneRecord[lane] = record;
      }
      laneHead[lane] = head;
      laneLatencyUs[lane]! += nextLatencyUs;
      starts.push(lane, pieceEndUs + nextStartUs + passedOver * emptyCtaUs);
    }
    this.endUs = endUs;
    this.hbmBytes = hbmBytes;
    this.l2ServedBytes = l2ServedBytes;
  }

  private grow({ laneCount, unitCount, leastSharers }: KernelCosts, slots: number, cells: number): void {
    if (this.laneRecord.length < laneCount) {
      this.heap = new StreamHeap(laneCount);
      this.starts = new StartQueue(laneCount);
      this.paces = new StreamHeap(laneCount);
      this.laneRecord = new Int32Array(laneCount);
      this.laneRecordEnd = new Int32Array(laneCount);
      this.laneHead = new Int32Array(laneCount);
      this.laneIdle = new Int32Array(laneCount);
      this.laneStage = new Uint8Array(laneCount);
      this.laneToken = new Int32Array(laneCount);
      this.laneTakenUs = new Float64Array(laneCount);
      this.laneHbmShare = new Float64Array(laneCount);
      this.lanePaceUs = new Float64Array(laneCount);
      this.laneCell = new Int32Array(laneCount);
      this.laneFollower = new Int32Array(laneCount);
      this.laneNextFollower = new Int32Array(laneCount);
      this.laneEndUs = new Float64Array(laneCount);
      this.laneLatencyUs = new Float64Array(laneCount);
      this.laneBusyUs = new Float64Array(laneCount);
    }
    if (!this.tensor.fits(unitCount, laneCount, leastSharers)) {
      this.tensor = new TensorShares(unitCount, laneCount, leastSharers);
    }
    if (this.slotEndUs.length < slots) this.slotEndUs = new Float64Array(slots * 2);
    if (this.cellBringer.length < cells) this.cellBringer = new Int32Array(cells * 2);
    this.slotEndUs.fill(0, 0, slots);
    this.cellBringer.fill(0, 0, cells);
    this.laneLatencyUs.fill(0);
    this.laneCell.fill(-1);
    this.laneFollower.fill(-1);
    this.laneBusyUs.fill(0);
  }
}

/** µs of one whole unit for so many KV tokens of a full query tile: what follows a piece's last byte, or a stretch takes. */
function flopsUs(costs: KernelCosts, tokens: number, tileRows: number): number {
  return (tokens * tileRows * costs.flopsPerRowToken) / costs.unitFlopsPerUs[tileRows]!;
}
