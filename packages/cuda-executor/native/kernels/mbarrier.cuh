// Barriers in shared memory, through which a producer hands tiles of a ring to its consumers and gets the stages back.
#pragma once
#include <cstdint>

#include "warpgroup.cuh"

namespace isochron::ptx {

#if ISOCHRON_WARPGROUP

__device__ __forceinline__ void barrierInit(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void barrierArrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/** Arrives once all copies that this thread has queued are complete. */
__device__ __forceinline__ void barrierArriveAfterCopies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}
/** Waits for the end of the phase with this parity. */
__device__ __forceinline__ void barrierWait(uint32_t barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\nwaiting:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra finished;\nbra waiting;\nfinished:\n}\n" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

/** Redistribution of registers among warpgroups; every warp of the warpgroup calls it. */
template <int kRegisters>
__device__ __forceinline__ void keepRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void takeRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

#endif

}  // namespace isochron::ptx
