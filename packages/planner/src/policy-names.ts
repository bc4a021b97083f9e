// The names of all policies. The index of a name is its number in the plan format: append, never reorder.

/** All names; a plan carries the index. */
export const POLICY_NAMES = [
  "balanced",
  "none",
  "tight",
  "invariant",
  "auto",
  "fixed-split",
  "flashinfer-decode",
  "flashinfer-fa2",
  "flashinfer-holistic",
  "flashinfer-fa3",
  "flashinfer-mla",
  "fa-uniform",
  "fa3-varlen",
  "flashmla",
  "stream-k",
  "flashinfer-decode-graph",
  "flashinfer-fa2-graph",
  // Stands for every rule that a caller brings along.
  "custom",
  "fa2-paged",
  "fa2-paged-graph",
] as const;

/** One of POLICY_NAMES. */
export type PolicyName = (typeof POLICY_NAMES)[number];
