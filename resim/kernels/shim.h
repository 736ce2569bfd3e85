// One source, two machines: the kernels are CUDA C for NVRTC and C++ for the host compiler.
//
// On the host a kernel is a plain function that is called once for every thread of its grid, in order; atomics
// are those of the compiler. Two rules keep the answers of both machines equal bit for bit: floats are never
// added by atomics (sums of many threads are whole numbers), and both compilers are told not to contract
// a * b + c (`--fmad=false`, `-ffp-contract=off`). No kernel uses shared memory or waits for its neighbours.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef float f32;
typedef unsigned long long u64;

#ifdef __CUDACC__

#define KERNEL extern "C" __global__ void
#define INLINE static __device__ __forceinline__

INLINE u32 thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
INLINE u32 atomic_add(u32* at, u32 value) { return atomicAdd(at, value); }
INLINE u64 atomic_add(u64* at, u64 value) { return atomicAdd(at, value); }
INLINE u32 atomic_max(u32* at, u32 value) { return atomicMax(at, value); }
INLINE u32 atomic_min(u32* at, u32 value) { return atomicMin(at, value); }
INLINE u32 atomic_load(const u32* at) { return *(const volatile u32*)at; }
INLINE f32 floor_of(f32 value) { return floorf(value); }

#else

#define KERNEL static void
#define INLINE static inline

static thread_local u32 current_thread = 0;

INLINE u32 thread_index() { return current_thread; }
INLINE u32 atomic_add(u32* at, u32 value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
INLINE u64 atomic_add(u64* at, u64 value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
INLINE u32 atomic_load(const u32* at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
INLINE u32 atomic_max(u32* at, u32 value) {
    u32 old = atomic_load(at);
    while (old < value && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
INLINE u32 atomic_min(u32* at, u32 value) {
    u32 old = atomic_load(at);
    while (old > value && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
INLINE f32 floor_of(f32 value) { return __builtin_floorf(value); }

#endif

// "No cell", "no cluster".
#define NONE 0xffffffffu
