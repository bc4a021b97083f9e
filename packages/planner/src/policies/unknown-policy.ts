/** A policy name that does not exist. `known` lists those that do; it is empty where policies are objects alone. */
export class UnknownPolicyError extends Error {
  override readonly name = "UnknownPolicyError";
  readonly policy: string;
  /** All names that would do. */
  readonly known: readonly string[];

  constructor(policy: string, known: readonly string[]) {
    const expected =
      known.length === 0 ? "a policy object (names need @isochron/planner)" : `one of ${known.join(", ")}`;
    super(`unknown policy ${JSON.stringify(policy)}, expected ${expected}`);
    this.policy = policy;
    this.known = known;
  }
}
