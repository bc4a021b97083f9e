// The block ids of a trace as the ids of what a KV cache can share.

import { DeploymentError } from "./deployment.ts";

/** @throws DeploymentError when cache blocks and trace blocks do not nest */
export function checkBlockSizes(traceBlockTokens: number, blockSizeTokens: number): void {
  if (traceBlockTokens % blockSizeTokens === 0 || blockSizeTokens % traceBlockTokens === 0) return;
  const expected = `a divisor or a multiple of the trace's blocks of ${traceBlockTokens} tokens`;
  throw new DeploymentError("blockSizeTokens", blockSizeTokens, expected);
}

/** Where a cache block spans several ids, the last one stands for all: an id means everything up to its end. */
export function contentIn(
  content: Int32Array | undefined,
  traceBlockTokens: number,
  blockSizeTokens: number,
): Int32Array | undefined {
  const ids = blockSizeTokens / traceBlockTokens;
  if (content === undefined || !(ids > 1)) return content;
  return Int32Array.from({ length: Math.floor(content.length / ids) }, (_, i) => content[(i + 1) * ids - 1]!);
}
