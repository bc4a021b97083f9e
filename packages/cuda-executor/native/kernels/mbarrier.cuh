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
/** The current phase lasts until all copies that this thread has queued are complete. Not an arrival. */
__device__ __forceinline__ void barrierAwaitCopies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}
/** An arrival, once all copies that this thread has queued are complete. */
__device__ __forceinline__ void barrierArriveWithCopies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}
/** Arrives; the phase lasts until the copy engine has brought `bytes`, too. */
__device__ __forceinline__ void barrierArriveExpecting(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
/** Copies a box of a tensor of four dimensions to shared memory; past the tensor's ends it is zeros. */
__device__ __forceinline__ void copyBox(uint32_t target, const void* map, int c0, int c1, int c2, int c3, uint32_t barrier, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3, %4, %5}], [%6], %7;" ::"r"(target),
      "l"(map), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(barrier), "l"(policy)
      : "memory");
}
/** True in one lane of the warp. */
__device__ __forceinline__ bool electOne() {
  uint32_t elected;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.b32 %0, 1, 0, p;\n}\n" : "=r"(elected));
  return elected != 0;
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
