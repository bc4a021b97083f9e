// What can go wrong, as classes with fields. The addon throws plain errors with a `code`; `typedError` names them.

/** There is no GPU executor on this machine: which part is missing, and what to do about it. */
export class CudaUnavailableError extends Error {
  override readonly name = "CudaUnavailableError";
  readonly missing: "addon" | "driver" | "device";
  readonly reason: string;

  constructor(missing: "addon" | "driver" | "device", reason: string, advice: string) {
    super(`the CUDA executor is not available: ${reason}; ${advice}`);
    this.missing = missing;
    this.reason = reason;
  }
}

/** A CUDA call failed. After a sticky error every later call of this process on the device fails too. */
export class CudaError extends Error {
  override readonly name: string = "CudaError";
  /** Name of the CUDA error, such as cudaErrorIllegalAddress. */
  readonly cudaName: string;
  readonly isSticky: boolean;

  constructor(message: string, cudaName: string, isSticky: boolean) {
    super(
      isSticky ? `${message} (${cudaName}): start a new process to use the device again` : `${message} (${cudaName})`,
    );
    this.cudaName = cudaName;
    this.isSticky = isSticky;
  }
}

/** The device has not enough free memory. The executor stays usable. */
export class CudaOutOfMemoryError extends Error {
  override readonly name = "CudaOutOfMemoryError";
  /** Bytes asked for, and bytes that were free. */
  readonly requested: number;
  readonly free: number;

  constructor(requested: number, free: number) {
    super(`the device has ${free} bytes free, ${requested} were asked for: release tensors, or use a smaller budget`);
    this.requested = requested;
    this.free = free;
  }
}

/** A plan that must not run: the first field that is wrong, its record, what was found and what was expected. */
export class PlanRejectedError extends Error {
  override readonly name = "PlanRejectedError";
  readonly field: string;
  /** Index of the record; −1 for fields of the header. */
  readonly index: number;
  readonly value: number;
  readonly expected: string;

  constructor(field: string, index: number, value: number, expected: string) {
    super(`plan rejected: ${field}${index < 0 ? "" : `[${index}]`} is ${value}, expected ${expected}`);
    this.field = field;
    this.index = index;
    this.value = value;
    this.expected = expected;
  }
}

/** A kernel that does not exist for what the plan asks. */
export class UnsupportedPlanError extends Error {
  override readonly name = "UnsupportedPlanError";
  readonly feature: string;

  constructor(feature: string) {
    super(`the CUDA executor has no kernel for ${feature}`);
    this.feature = feature;
  }
}

/** A library that is opened at run time and that this machine has not. */
export class MissingLibraryError extends Error {
  override readonly name = "MissingLibraryError";
}

/** What the addon throws. */
interface NativeError extends Error {
  readonly code?: string;
  readonly field?: string;
  readonly index?: number;
  readonly value?: number;
  readonly expected?: string;
  readonly requested?: number;
  readonly free?: number;
  readonly sticky?: boolean;
}

/** The class for an error that the addon threw; other errors pass through. */
export function typedError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const native = error as NativeError;
  switch (native.code) {
    case "PLAN_REJECTED":
      return new PlanRejectedError(native.field!, native.index!, native.value!, native.expected!);
    case "OUT_OF_MEMORY":
      return new CudaOutOfMemoryError(native.requested!, native.free!);
    case "CUDA":
      return new CudaError(native.message, native.name, native.sticky!);
    case "UNSUPPORTED":
      return new UnsupportedPlanError(native.message);
    case "MISSING_LIBRARY":
      return new MissingLibraryError(native.message);
    case "INVALID_ARGUMENT":
      return new RangeError(native.message);
    default:
      return error;
  }
}

/** Calls the addon; its errors come out as classes. */
export function calling<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw typedError(error);
  }
}

/** The same for promises of the addon. */
export async function awaiting<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw typedError(error);
  }
}
