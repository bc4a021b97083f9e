// What one run of a sweep ended in → its row. Prices and limits come in here, after the replay: other prices need no new one.

import type { Deployment, Metrics, Report, TraceIdentity } from "../documents/report.ts";
import type { SweepDocument } from "../documents/sweep.ts";
import type { SweepRow, SweepRunError, SweepStatus } from "../documents/sweep-results.ts";
import { DeploymentError, DoesNotFitError } from "../engine/deployment.ts";
import { StepTimerError } from "../step-timers/create-step-timer.ts";
import type { Configuration } from "./expand-sweep.ts";
import { missesOf } from "./service-objectives.ts";
import { SweepError } from "./sweep-error.ts";

/** How the replay of a configuration ended; a function of its fields and this version alone. */
export type Outcome =
  | {
      readonly status: "completed";
      readonly trace: TraceIdentity;
      readonly deployment: Deployment;
      readonly metrics: Metrics;
      readonly warnings: readonly string[];
    }
  | { readonly status: Exclude<SweepStatus, "completed">; readonly error: SweepRunError };

export function outcomeOfReport({ trace, deployment, metrics, warnings }: Report): Outcome {
  return { status: "completed", trace, deployment, metrics, warnings };
}

/** Deployments that cannot be are results like others; `isContradiction` knows more kinds of them. */
export function outcomeOfError(error: unknown, isContradiction: (error: Error) => boolean = () => false): Outcome {
  if (!(error instanceof Error)) return { status: "failed", error: { message: String(error) } };
  const { message, field, value, expected } = error as Error & { field?: string; value?: unknown; expected?: string };
  const facts: SweepRunError = {
    message,
    ...(field === undefined ? {} : { field }),
    ...(value === undefined ? {} : { value }),
    ...(expected === undefined ? {} : { expected }),
  };
  if (error instanceof DoesNotFitError) return { status: "does-not-fit", error: facts };
  const isImpossible = error instanceof DeploymentError || error instanceof StepTimerError || isContradiction(error);
  return { status: isImpossible ? "impossible" : "failed", error: facts };
}

export interface RowOptions {
  readonly document: SweepDocument;
  /** The replay's command line. */
  readonly command: string;
  readonly report?: string | undefined;
}

export function sweepRow({ index, fields }: Configuration, outcome: Outcome, options: RowOptions): SweepRow {
  const { document, command, report } = options;
  if (outcome.status !== "completed") {
    const { status, error } = outcome;
    const unknown = { gpus: null, costPerHour: null, costPerMillionOutputTokens: null, misses: null };
    return { configuration: index, fields, status, ...unknown, error, command };
  }
  const { trace, deployment, metrics, warnings } = outcome;
  const gpus = gpusOf(deployment);
  const price = document.cost === undefined ? undefined : priceOf(document, String(fields["gpu"] ?? deployment.gpu));
  const costPerHour = price === undefined ? null : price * gpus;
  const tokensPerHour = metrics.outputTokenThroughput * 3600;
  return {
    configuration: index,
    fields,
    status: "completed",
    gpus,
    costPerHour,
    costPerMillionOutputTokens:
      costPerHour === null || tokensPerHour === 0 ? null : (costPerHour / tokensPerHour) * 1e6,
    misses: document.slo === undefined ? null : missesOf(metrics, document.slo),
    trace,
    deployment,
    metrics,
    ...(warnings.length === 0 ? {} : { warnings }),
    command,
    ...(report === undefined ? {} : { report }),
  };
}

/** GPUs of all replicas. */
export function gpusOf(deployment: Deployment): number {
  const { tensorParallel, pipelineParallel = 1, replicas } = deployment;
  return tensorParallel * pipelineParallel * replicas;
}

/**
 * Makes sure before hours of work that every GPU has its price.
 * @throws SweepError
 */
export function requirePrices(document: SweepDocument, configurations: readonly Configuration[], gpu: string): void {
  if (document.cost === undefined) return;
  for (const { fields } of configurations) priceOf(document, String(fields["gpu"] ?? gpu));
}

function priceOf({ cost }: SweepDocument, gpu: string): number {
  const { perGpuHour } = cost!;
  if (Object.hasOwn(perGpuHour, gpu)) return perGpuHour[gpu]!;
  throw new SweepError("cost.perGpuHour", perGpuHour, `a price of ${gpu}`);
}
