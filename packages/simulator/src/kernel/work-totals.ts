// What all pieces of a plan have to move and to compute, and what no schedule can be shorter than.

import type { Plan } from "@isochron/planner";
import { Header, Piece } from "@isochron/planner";
import type { KernelCosts } from "./kernel-costs.ts";
import { computeUs, launchUs } from "./kernel-costs.ts";

export class WorkTotals {
  pieces = 0;
  /** Bytes that all pieces ask for: KV, queries, outputs and partial states. */
  bytes = 0;
  /** Of these, bytes that HBM serves at least: every KV token of a head once. */
  uniqueBytes = 0;
  /** Rows that pad a query tile count as work. */
  flops = 0;
  /** µs of one whole SM (or cluster of SMs). */
  tensorSmUs = 0;
  /** False: no piece can ever wait for tensor throughput, whatever else runs on its SM. */
  tensorMayBind = false;
  /** False: no KV token is read by two pieces. */
  kvIsShared = false;
  longestKvEnd = 0;
  /** No schedule of this work is shorter: all bandwidth and all tensor cores from the first start-up to the last write. */
  lowerBoundUs = 0;

  private extentLow = new Int32Array(0);
  private extentHigh = new Int32Array(0);

  /** With `kvIsWarm`, L2 serves all KV. */
  measure(plan: Plan, costs: KernelCosts, kvIsWarm = false): void {
    const { header, pieces } = plan;
    const records = plan.pieceRecordCount;
    const group = header[Header.queryHeads]! / header[Header.kvHeads]!;
    const lanesPerUnit = Math.ceil(costs.laneCount / costs.unitCount);
    // While a lane computes with all its neighbours, at the best rate of its stream.
    const tensorSlack = Math.max(lanesPerUnit, costs.leastSharers) * costs.streamBytesPerUs[1]!;
    let count = 0;
    let bytes = 0;
    let flops = 0;
    let tensorSmUs = 0;
    let tensorPressure = 0;
    let longestKvEnd = 0;
    let kvIsShared = header[Header.packedHeads]! < group;
    for (let record = 0; record < records; record++) {
      const at = record * Piece.stride;
      const heads = pieces[at + Piece.headCount]!;
      const rowsField = pieces[at + Piece.rows]!;
      const tileRows = rowsField >>> 16;
      const flopRows = costs.computesPadding ? tileRows : rowsField & 0xffff;
      const kvStart = pieces[at + Piece.kvStart]!;
      const kvEnd = pieces[at + Piece.kvEnd]!;
      const tokens = kvEnd - kvStart;
      if (kvEnd > longestKvEnd) longestKvEnd = kvEnd;
      const rowBytes =
        costs.queryRowBytes + (pieces[at + Piece.slot]! < 0 ? costs.outputRowBytes : costs.partialRowBytes);
      const pieceBytes = tokens * costs.kvBytesPerToken + (rowsField & 0xffff) * rowBytes;
      const pieceFlops = tokens * flopRows * costs.flopsPerRowToken;
      const smUs = computeUs(costs, kvStart, kvEnd, rowsField & 0xffff, tileRows);
      if (smUs > 0) tensorPressure = Math.max(tensorPressure, (smUs * tensorSlack) / pieceBytes);
      if (pieces[at + Piece.rowStart]! > 0) kvIsShared = true;
      count += heads;
      bytes += heads * pieceBytes;
      flops += heads * pieceFlops;
      tensorSmUs += heads * smUs;
    }
    this.pieces = count;
    this.bytes = bytes;
    this.flops = flops;
    this.tensorSmUs = tensorSmUs;
    // A stream takes at least its bytes at the price of L2, or of HBM where nothing is shared.
    this.tensorMayBind =
      tensorPressure > (kvIsShared || kvIsWarm ? costs.l2ByteCost : 1) ||
      costs.drainUs + costs.drainRowUs + costs.fillTokens > 0;
    this.kvIsShared = kvIsShared;
    this.longestKvEnd = longestKvEnd;
    this.uniqueBytes = kvIsShared ? bytes - this.rereadTokens(plan) * costs.kvBytesPerToken : bytes;
    const hbmBytes = kvIsWarm ? 0 : this.uniqueBytes;
    const streamUs = (hbmBytes + (bytes - hbmBytes) * costs.l2ByteCost) / costs.peakBytesPerUs;
    const latencyUs = count === 0 ? 0 : costs.startUs + costs.writeOutUs;
    this.lowerBoundUs = launchUs(costs, plan) + latencyUs + Math.max(streamUs, tensorSmUs / costs.unitCount);
  }

  /** Tokens that pieces read beyond the extent of their (request, KV head): at least these can come from L2. */
  private rereadTokens(plan: Plan): number {
    const { header, pieces } = plan;
    const kvHeads = header[Header.kvHeads]!;
    const headsPerKvHead = header[Header.packedHeads]! === 1 ? header[Header.queryHeads]! / kvHeads : 1;
    const requestCount = plan.requestCount;
    const keys = (requestCount + header[Header.groupCount]!) * kvHeads;
    if (this.extentLow.length < keys) {
      this.extentLow = new Int32Array(keys * 2);
      this.extentHigh = new Int32Array(keys * 2);
    }
    const { extentLow, extentHigh } = this;
    extentLow.fill(0x7fff_ffff, 0, keys);
    extentHigh.fill(0, 0, keys);
    let read = 0;
    for (let record = 0; record < plan.pieceRecordCount; record++) {
      const at = record * Piece.stride;
      const kvStart = pieces[at + Piece.kvStart]!;
      const kvEnd = pieces[at + Piece.kvEnd]!;
      if (kvEnd === kvStart) continue;
      const request = pieces[at + Piece.request]!;
      const owner = request >= 0 ? request : requestCount - 1 - request;
      const heads = pieces[at + Piece.headCount]!;
      read += heads * (kvEnd - kvStart);
      for (let h = 0; h < heads; h++) {
        const key = owner * kvHeads + (((pieces[at + Piece.head]! + h) / headsPerKvHead) | 0);
        if (kvStart < extentLow[key]!) extentLow[key] = kvStart;
        if (kvEnd > extentHigh[key]!) extentHigh[key] = kvEnd;
      }
    }
    let once = 0;
    for (let key = 0; key < keys; key++) once += Math.max(0, extentHigh[key]! - extentLow[key]!);
    return Math.max(0, read - once);
  }
}
