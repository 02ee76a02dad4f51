/*
 * An emulated CUDA driver for tests, built as libcuda.so.1. It is faithful where programs go wrong, and says nothing about speed:
 * - device memory is not reachable by the host (its addresses are mapped without any right; the bytes lie in memfds elsewhere);
 * - a context is current per thread, and calls without one fail with 201; primary contexts are counted;
 * - asynchronous copies run later, on a thread of their stream, and read their source then, where that is pinned; a source that is
 *   not is copied at the call, as the driver stages it; a fault of one (memory gone, mapped read-only, unpinned) sticks: 700;
 * - virtual memory management enforces granularity, access rights, and counts handles and mappings; exports are descriptors that
 *   another process with this library can import; so can IPC handles be opened, but not by the process that made them.
 *
 * Environment, read at the first call; emulated_cuda_set() changes the same things later:
 *   EMULATED_CUDA_DEVICES            how many (1)
 *   EMULATED_CUDA_MEMORY_BYTES       of a device (1 GiB): more is CUDA_ERROR_OUT_OF_MEMORY
 *   EMULATED_CUDA_GRANULARITY_BYTES  (2 MiB)
 *   EMULATED_CUDA_VMM                0: a device without virtual memory management
 *   EMULATED_CUDA_COPY_DELAY_US      before every asynchronous operation (0)
 *   EMULATED_CUDA_FAIL               NAME:N:CODE: the N-th call from now of that function fails with CODE, once; `*` is any function but
 *                                    cuEventQuery, whose calls are as many as time would have it
 *   EMULATED_CUDA_CORRUPT            N: the N-th copy to the device from now flips a bit
 *   EMULATED_CUDA_REPORT             file that gets the report as JSON when the process ends
 */
#ifndef EMULATED_CUDA_H
#define EMULATED_CUDA_H

#include "cuda-abi.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define MOST_DEVICES 8
/* Shows in /proc/PID/fd, where tests look for what is left. */
#define MEMFD_NAME "emulated-cuda"
#define EXPORTED __attribute__((visibility("default")))

struct CUctx_st {
  int device;
  unsigned references;
  CUresult fault; /* sticks */
};

struct settings {
  int devices;
  size_t memory_bytes, granularity_bytes;
  bool vmm;
  unsigned copy_delay_us;
  char fail_name[64];
  long fail_at;
  CUresult fail_code;
  bool fail_fired;
  long corrupt_at;
};

/* What is alive, and what has been: the report. */
struct counts {
  long physical, reservations, mappings, allocations, opened, registered, host_allocations, streams, events, contexts;
  unsigned long long host_to_device, device_to_host, device_to_device, set, pageable;
  /* Asynchronous operations under way at once, the most there were; threads that made calls. */
  long most_queued, threads;
  /* Asynchronous operations that met memory which was gone or not theirs to write. */
  long faults;
};

extern struct settings settings;
extern struct counts counts;
/* Guards everything. Held while bytes are copied, so nothing is unmapped meanwhile. */
extern pthread_mutex_t lock;
extern _Thread_local CUcontext current;

/* Begins every function: counts the call, and returns from it with an injected error. */
CUresult begin_call(const char *name, bool needs_init);
#define CALL(name)                                \
  do {                                            \
    CUresult injected = begin_call(#name, true);  \
    if (injected != CUDA_SUCCESS) return injected; \
  } while (0)
/* Of this thread's context: 201 where there is none, its fault where it has one. */
CUresult context_state(void);
#define NEEDS_CONTEXT()                        \
  do {                                         \
    CUresult state = context_state();          \
    if (state != CUDA_SUCCESS) return state;   \
  } while (0)

/* Whether all of it is pinned. */
bool is_pinned(const void *host, size_t bytes);
/* One copy or fill within memory that is mapped with the rights for it; lock held. */
CUresult write_device(CUdeviceptr target, const void *source, size_t bytes);
CUresult read_device(void *target, CUdeviceptr source, size_t bytes);
CUresult move_device(CUdeviceptr target, CUdeviceptr source, size_t bytes);
CUresult fill_device(CUdeviceptr target, unsigned char value, size_t bytes);
bool is_corrupting(void);

#endif
