// The first rule that a plan breaks, and where.

/** What a plan has to keep to; what each means stands with the check (check-fields.ts, check-cover.ts, verify.ts). */
export type PlanRule =
  | "header"
  | "layout"
  | "capacity"
  | "request table"
  | "groups"
  | "worker ranges"
  | "piece fields"
  | "cover"
  | "slots"
  | "merges"
  | "stats"
  | "batch";

/** The first rule that a plan breaks, and where. */
export class PlanViolation extends Error {
  override readonly name = "PlanViolation";
  readonly rule: PlanRule;
  /** What the index counts, such as "piece record". */
  readonly where: string;

  constructor(rule: PlanRule, where: string, problem: string) {
    super(`plan violates ${rule}: ${where}: ${problem}`);
    this.rule = rule;
    this.where = where;
  }
}
