// Runs the pieces of a grid whose kernel's pipeline is known in detail: bytes come in before anything is computed, the last
// flops follow the last byte, empty CTAs take time, and pieces that share KV follow each other through L2.
//
// The same virtual time and heap of streams as in fluid-engine.ts; a piece streams in stretches. Its arithmetic begins when
// the first stretch (costs.fillTokens) is in and as much of it follows the last byte. Where pieces share KV that L2 cannot
// hold altogether, stretches are short, so that a reader finds in L2 what another one has just brought there and not what is
// gone again, and whoever wants what somebody is just bringing in waits for it. More events a piece, hence an engine apart.

import type { Plan } from "@isochron/planner";
import { Header, Piece, Request } from "@isochron/planner";
import type { KernelCosts } from "./kernel-costs.ts";
import { computeUs, launchUs as launchUsOf } from "./kernel-costs.ts";
import { headsPerKvHead as headsPerKvHeadOf, KvResidency } from "./kv-residency.ts";
import { Lanes } from "./lanes.ts";
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
  readonly lanes: Lanes = new Lanes();
  /** As in FluidEngine. */
  kvIsWarm = false;

  private heap = new StreamHeap(0);
  private starts = new StartQueue(0);
  private paces = new StreamHeap(0);
  private tensor = new TensorShares(1, 0, 1);
  private readonly residency = new KvResidency();
  private laneStage = new Uint8Array(0);
  /** KV token up to which the stretches of the lane's piece go so far. */
  private laneToken = new Int32Array(0);
  private laneHbmShare = new Float64Array(0);
  private lanePaceUs = new Float64Array(0);
  /** Cell of L2 that the lane is bringing in, −1: none; the first lane that follows it, and the next one after each. */
  private laneCell = new Int32Array(0);
  private laneFollower = new Int32Array(0);
  private laneNextFollower = new Int32Array(0);
  /** Lane + 1 of whoever is bringing a cell of L2 in; 0: nobody is. */
  private cellBringer = new Int32Array(0);

  run(plan: Plan, costs: KernelCosts, totals: WorkTotals, recorder: PieceRecorder | null): Lanes {
    const { header, pieces, requests } = plan;
    const { laneCount, streamBytesPerUs, startUs, writeOutUs, l2ByteCost, fillTokens, emptyCtaUs } = costs;
    const launchUs = launchUsOf(costs, plan);
    const { kvIsShared } = totals;
    const nextStartUs = plan.isPersistent ? costs.nextStartUs : startUs;
    const nextLatencyUs = nextStartUs + writeOutUs;
    const packedHeads = header[Header.packedHeads]!;
    const headsPerKvHead = headsPerKvHeadOf(plan);
    // What is shared either stays in L2 from its first reader to its last, or is followed stretch by stretch.
    const overflowsL2 = headsPerKvHead > 1 && kvIsShared && !this.kvIsWarm && totals.uniqueBytes > costs.l2Bytes;
    const stretchTokens = overflowsL2 ? costs.stretchTokens : WHOLE;
    const cellsPerKey = overflowsL2 ? Math.ceil(totals.longestKvEnd / stretchTokens) : 1;
    this.grow(costs, kvIsShared ? this.residency.reset(plan, costs.l2Bytes, cellsPerKey) : 0);
    const { heap, starts, paces, tensor, residency, lanes, cellBringer, kvIsWarm } = this;
    const { laneStage, laneToken, laneHbmShare, lanePaceUs, laneCell, laneFollower, laneNextFollower } = this;
    const countsFlow = overflowsL2 || recorder !== null;

    // Memory serves the first stretches one after another: lanes that all do the same are not in step from then on.
    const turnBytes = fillTokens * costs.kvBytesPerToken * (totals.uniqueBytes / totals.bytes);
    const turnUs = turnBytes / costs.peakBytesPerUs;
    let turnsUs = 0;
    lanes.launch(plan, laneCount, launchUs, startUs + writeOutUs);
    const { record: laneRecord, head: laneHead, takenUs: laneTakenUs, idle: laneIdle } = lanes;
    const { laneEndUs, laneLatencyUs, laneBusyUs } = lanes;
    // Those that run idle CTAs first come later, also to memory.
    for (let late = 0; late < 2; late++) {
      for (let lane = 0; lane < laneCount; lane++) {
        const idle = laneIdle[lane]!;
        if (laneRecord[lane]! < 0 || Math.min(idle, 1) !== late) continue;
        starts.push(lane, launchUs + startUs + turnsUs + idle * emptyCtaUs);
        turnsUs += turnUs;
      }
    }

    let nowUs = launchUs;
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
          const key = residency.keyOf(request, pieces[at + Piece.head]! + laneHead[lane]!);
          cell = key * cellsPerKey + (overflowsL2 ? Math.floor(token / stretchTokens) : 0);
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
      const takenUs = laneTakenUs[lane]!;
      if (recorder !== null) recorder.piece(lane, laneRecord[lane]!, laneHead[lane]!, takenUs, pieceEndUs);
      laneBusyUs[lane]! += pieceEndUs - takenUs;
      laneEndUs[lane] = pieceEndUs;
      laneTakenUs[lane] = pieceEndUs;
      const passedOver = lanes.advance(lane);
      if (passedOver < 0) continue;
      laneLatencyUs[lane]! += nextLatencyUs;
      starts.push(lane, pieceEndUs + nextStartUs + passedOver * emptyCtaUs);
    }
    lanes.hbmBytes = hbmBytes;
    lanes.l2ServedBytes = l2ServedBytes;
    return lanes;
  }

  private grow(costs: KernelCosts, cells: number): void {
    const { laneCount } = costs;
    if (this.laneStage.length < laneCount) {
      this.heap = new StreamHeap(laneCount);
      this.starts = new StartQueue(laneCount);
      this.paces = new StreamHeap(laneCount);
      this.laneStage = new Uint8Array(laneCount);
      this.laneToken = new Int32Array(laneCount);
      this.laneHbmShare = new Float64Array(laneCount);
      this.lanePaceUs = new Float64Array(laneCount);
      this.laneCell = new Int32Array(laneCount);
      this.laneFollower = new Int32Array(laneCount);
      this.laneNextFollower = new Int32Array(laneCount);
    }
    this.tensor = this.tensor.sizedFor(costs);
    if (this.cellBringer.length < cells) this.cellBringer = new Int32Array(cells * 2);
    this.cellBringer.fill(0, 0, cells);
    this.laneCell.fill(-1);
    this.laneFollower.fill(-1);
  }
}

/** µs of one whole unit for so many KV tokens of a full query tile: what follows a piece's last byte, or a stretch takes. */
function flopsUs(costs: KernelCosts, tokens: number, tileRows: number): number {
  return (tokens * tileRows * costs.flopsPerRowToken) / costs.unitFlopsPerUs[tileRows]!;
}
