/* Device memory: allocations, virtual memory management, IPC handles; pinned host memory; and what copies do with them. */
#define _GNU_SOURCE
#include "emulated.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Memory itself: lives as long as a handle or a mapping of it. */
struct physical {
  struct physical *next;
  int memfd;
  size_t size;
  unsigned handles, mappings;
  bool exportable, mine; /* `mine`: of this process, so of the device's budget */
};

/* Addresses. The host has no right to them; `alias` is where the bytes are. */
struct range {
  struct range *next;
  CUdeviceptr base;
  size_t size;
  char *alias;
  int access;
  struct physical *physical;
  enum { MAPPED, ALLOCATED, OPENED } kind;
};

struct span {
  struct span *next;
  uintptr_t base;
  size_t size;
  bool owned; /* made by cuMemHostAlloc */
};

static struct physical *physicals;
static struct range *ranges;
static struct span *reservations, *pinned;
static size_t used_bytes;

static struct span *add_span(struct span **list, uintptr_t base, size_t size, bool owned) {
  struct span *span = malloc(sizeof *span);
  *span = (struct span){*list, base, size, owned};
  return *list = span;
}

static bool remove_span(struct span **list, uintptr_t base, size_t size) {
  for (; *list != NULL; list = &(*list)->next)
    if ((*list)->base == base && (size == 0 || (*list)->size == size)) {
      struct span *gone = *list;
      *list = gone->next;
      free(gone);
      return true;
    }
  return false;
}

/* The one that holds all of it. */
static struct span *find_span(struct span *list, uintptr_t base, size_t size) {
  for (; list != NULL; list = list->next)
    if (base >= list->base && base + size <= list->base + list->size) return list;
  return NULL;
}

static struct physical *make_physical(int memfd, size_t size, bool mine, bool exportable) {
  struct physical *physical = malloc(sizeof *physical);
  *physical = (struct physical){physicals, memfd, size, 0, 0, exportable, mine};
  physicals = physical;
  counts.physical++;
  if (mine) used_bytes += size;
  return physical;
}

static void let_go(struct physical *physical) {
  if (physical->handles > 0 || physical->mappings > 0) return;
  for (struct physical **at = &physicals; *at != NULL; at = &(*at)->next)
    if (*at == physical) {
      *at = physical->next;
      break;
    }
  if (physical->mine) used_bytes -= physical->size;
  close(physical->memfd);
  free(physical);
  counts.physical--;
}

static int new_memfd(size_t size) {
  int memfd = memfd_create(MEMFD_NAME, MFD_CLOEXEC);
  if (memfd >= 0 && ftruncate(memfd, (off_t)size) != 0) {
    close(memfd);
    return -1;
  }
  return memfd;
}

/* What another process made. */
static int open_memfd(const char *path, size_t *size) {
  char target[64] = {0};
  struct stat status;
  if (readlink(path, target, sizeof target - 1) < 0 || strncmp(target, "/memfd:" MEMFD_NAME, sizeof "/memfd:" MEMFD_NAME - 1) != 0) return -1;
  int memfd = open(path, O_RDWR | O_CLOEXEC);
  if (memfd >= 0 && fstat(memfd, &status) == 0) *size = (size_t)status.st_size;
  return memfd;
}

static struct range *add_range(CUdeviceptr base, size_t size, struct physical *physical, int access, int kind) {
  char *alias = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, physical->memfd, 0);
  if (alias == MAP_FAILED) return NULL;
  struct range *range = malloc(sizeof *range);
  *range = (struct range){ranges, base, size, alias, access, physical, kind};
  ranges = range;
  physical->mappings++;
  return range;
}

static void remove_range(struct range *range) {
  for (struct range **at = &ranges; *at != NULL; at = &(*at)->next)
    if (*at == range) {
      *at = range->next;
      break;
    }
  munmap(range->alias, range->size);
  range->physical->mappings--;
  let_go(range->physical);
  free(range);
}

static struct range *find_range(CUdeviceptr address) {
  struct range *range = ranges;
  while (range != NULL && (address < range->base || address >= range->base + range->size)) range = range->next;
  return range;
}

static CUdeviceptr reserve_addresses(size_t size) {
  void *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return base == MAP_FAILED ? 0 : (CUdeviceptr)(uintptr_t)base;
}

/* Where the bytes of an address are, and how many of `bytes` lie there; NULL without the right. */
static char *reach(CUdeviceptr address, size_t *bytes, int right) {
  struct range *range = find_range(address);
  if (range == NULL || (range->access & right) != right) return NULL;
  size_t rest = (size_t)(range->base + range->size - address);
  if (*bytes > rest) *bytes = rest;
  return range->alias + (address - range->base);
}

CUresult write_device(CUdeviceptr target, const void *source, size_t bytes) {
  bool corrupt = is_corrupting();
  for (size_t done = 0, part; done < bytes; done += part) {
    part = bytes - done;
    char *to = reach(target + done, &part, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    if (to == NULL) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy(to, (const char *)source + done, part);
    if (corrupt && done == 0) to[part / 2] ^= 1;
  }
  counts.host_to_device += bytes;
  return CUDA_SUCCESS;
}

CUresult read_device(void *target, CUdeviceptr source, size_t bytes) {
  for (size_t done = 0, part; done < bytes; done += part) {
    part = bytes - done;
    char *from = reach(source + done, &part, CU_MEM_ACCESS_FLAGS_PROT_READ);
    if (from == NULL) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy((char *)target + done, from, part);
  }
  counts.device_to_host += bytes;
  return CUDA_SUCCESS;
}

CUresult move_device(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
  for (size_t done = 0, part; done < bytes; done += part) {
    part = bytes - done;
    char *to = reach(target + done, &part, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    char *from = reach(source + done, &part, CU_MEM_ACCESS_FLAGS_PROT_READ);
    if (to == NULL || from == NULL) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memcpy(to, from, part);
  }
  counts.device_to_device += bytes;
  return CUDA_SUCCESS;
}

CUresult fill_device(CUdeviceptr target, unsigned char value, size_t bytes) {
  for (size_t done = 0, part; done < bytes; done += part) {
    part = bytes - done;
    char *to = reach(target + done, &part, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    if (to == NULL) return CUDA_ERROR_ILLEGAL_ADDRESS;
    memset(to, value, part);
  }
  counts.set += bytes;
  return CUDA_SUCCESS;
}

/* Everything below runs under the lock, which LOCKED takes for one function. */
static void unlock(pthread_mutex_t **held) { pthread_mutex_unlock(*held); }
#define LOCKED()                                                      \
  pthread_mutex_t *held __attribute__((cleanup(unlock))) = &lock; \
  pthread_mutex_lock(held)

/* The budget, and memory with bytes that nobody may rely on. */
static CUresult create(struct physical **physical, size_t size, bool exportable) {
  if (used_bytes + size > settings.memory_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  int memfd = new_memfd(size);
  if (memfd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  *physical = make_physical(memfd, size, true, exportable);
  char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  if (bytes != MAP_FAILED) {
    memset(bytes, 0xa5, size);
    munmap(bytes, size);
  }
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  CALL(cuDeviceTotalMem_v2);
  if (device < 0 || device >= settings.devices) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = settings.memory_bytes;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  CALL(cuMemGetInfo_v2);
  NEEDS_CONTEXT();
  LOCKED();
  *available = settings.memory_bytes - used_bytes;
  *total = settings.memory_bytes;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
  CALL(cuMemAlloc_v2);
  NEEDS_CONTEXT();
  if (size == 0) return CUDA_ERROR_INVALID_VALUE;
  LOCKED();
  struct physical *physical;
  CUresult code = create(&physical, size, false);
  if (code != CUDA_SUCCESS) return code;
  *address = reserve_addresses(size);
  if (*address == 0 || add_range(*address, size, physical, CU_MEM_ACCESS_FLAGS_PROT_READWRITE, ALLOCATED) == NULL) {
    let_go(physical);
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  counts.allocations++;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemFree_v2(CUdeviceptr address) {
  CALL(cuMemFree_v2);
  NEEDS_CONTEXT();
  LOCKED();
  struct range *range = find_range(address);
  if (range == NULL || range->base != address || range->kind != ALLOCATED) return CUDA_ERROR_INVALID_VALUE;
  munmap((void *)(uintptr_t)address, range->size);
  remove_range(range);
  counts.allocations--;
  return CUDA_SUCCESS;
}

static bool is_usable(const CUmemAllocationProp *prop) {
  return prop->type == CU_MEM_ALLOCATION_TYPE_PINNED && prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE && prop->location.id >= 0 &&
         prop->location.id < settings.devices && prop->win32HandleMetaData == NULL;
}

static bool is_whole(size_t size) { return size > 0 && size % settings.granularity_bytes == 0; }

EXPORTED CUresult cuMemGetAllocationGranularity(size_t *bytes, const CUmemAllocationProp *prop, CUmemAllocationGranularity_flags option) {
  CALL(cuMemGetAllocationGranularity);
  if (!settings.vmm) return CUDA_ERROR_NOT_SUPPORTED;
  if (!is_usable(prop) || (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM && option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED))
    return CUDA_ERROR_INVALID_VALUE;
  *bytes = settings.granularity_bytes;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *prop, unsigned long long flags) {
  CALL(cuMemCreate);
  if (!settings.vmm) return CUDA_ERROR_NOT_SUPPORTED;
  if (!is_whole(size) || !is_usable(prop) || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  LOCKED();
  struct physical *physical;
  CUresult code = create(&physical, size, prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  if (code != CUDA_SUCCESS) return code;
  physical->handles = 1;
  *handle = (CUmemGenericAllocationHandle)(uintptr_t)physical;
  return CUDA_SUCCESS;
}

static struct physical *of_handle(CUmemGenericAllocationHandle handle) {
  struct physical *physical = physicals;
  while (physical != NULL && (physical != (struct physical *)(uintptr_t)handle || physical->handles == 0)) physical = physical->next;
  return physical;
}

EXPORTED CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  CALL(cuMemRelease);
  LOCKED();
  struct physical *physical = of_handle(handle);
  if (physical == NULL) return CUDA_ERROR_INVALID_VALUE;
  physical->handles--;
  let_go(physical);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemExportToShareableHandle(void *out, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType type,
                                               unsigned long long flags) {
  CALL(cuMemExportToShareableHandle);
  if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  LOCKED();
  struct physical *physical = of_handle(handle);
  if (physical == NULL || !physical->exportable) return CUDA_ERROR_INVALID_VALUE;
  /* Nothing says that it is closed by exec: so it is not. */
  int descriptor = fcntl(physical->memfd, F_DUPFD, 3);
  if (descriptor < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  *(int *)out = descriptor;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle, void *os_handle, CUmemAllocationHandleType type) {
  CALL(cuMemImportFromShareableHandle);
  if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_INVALID_VALUE;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", (int)(intptr_t)os_handle);
  size_t size = 0;
  int memfd = open_memfd(path, &size);
  if (memfd < 0) return CUDA_ERROR_INVALID_VALUE;
  LOCKED();
  struct physical *physical = make_physical(memfd, size, false, true);
  physical->handles = 1;
  *handle = (CUmemGenericAllocationHandle)(uintptr_t)physical;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemAddressReserve(CUdeviceptr *address, size_t size, size_t alignment, CUdeviceptr wanted, unsigned long long flags) {
  CALL(cuMemAddressReserve);
  if (!is_whole(size) || flags != 0 || wanted != 0 || (alignment & (alignment - 1)) != 0) return CUDA_ERROR_INVALID_VALUE;
  LOCKED();
  *address = reserve_addresses(size);
  if (*address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  add_span(&reservations, (uintptr_t)*address, size, false);
  counts.reservations++;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemAddressFree(CUdeviceptr address, size_t size) {
  CALL(cuMemAddressFree);
  LOCKED();
  for (struct range *range = ranges; range != NULL; range = range->next)
    if (range->kind == MAPPED && range->base >= address && range->base < address + size) return CUDA_ERROR_INVALID_VALUE;
  if (size == 0 || !remove_span(&reservations, (uintptr_t)address, size)) return CUDA_ERROR_INVALID_VALUE;
  munmap((void *)(uintptr_t)address, size);
  counts.reservations--;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long flags) {
  CALL(cuMemMap);
  LOCKED();
  struct physical *physical = of_handle(handle);
  if (physical == NULL || !is_whole(size) || offset != 0 || flags != 0 || size != physical->size) return CUDA_ERROR_INVALID_VALUE;
  if (find_span(reservations, (uintptr_t)address, size) == NULL) return CUDA_ERROR_INVALID_VALUE;
  for (struct range *range = ranges; range != NULL; range = range->next)
    if (range->base < address + size && address < range->base + range->size) return CUDA_ERROR_INVALID_VALUE;
  if (add_range(address, size, physical, CU_MEM_ACCESS_FLAGS_PROT_NONE, MAPPED) == NULL) return CUDA_ERROR_OPERATING_SYSTEM;
  counts.mappings++;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc *access, size_t count) {
  CALL(cuMemSetAccess);
  LOCKED();
  struct range *range = find_range(address);
  if (range == NULL || range->kind != MAPPED || range->base != address || range->size != size || count != 1 ||
      access->location.type != CU_MEM_LOCATION_TYPE_DEVICE || access->location.id >= settings.devices)
    return CUDA_ERROR_INVALID_VALUE;
  if (access->flags != CU_MEM_ACCESS_FLAGS_PROT_NONE && access->flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
      access->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
    return CUDA_ERROR_INVALID_VALUE;
  range->access = (int)access->flags;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemUnmap(CUdeviceptr address, size_t size) {
  CALL(cuMemUnmap);
  LOCKED();
  struct range *range = find_range(address);
  if (range == NULL || range->kind != MAPPED || range->base != address || range->size != size) return CUDA_ERROR_INVALID_VALUE;
  remove_range(range);
  counts.mappings--;
  return CUDA_SUCCESS;
}

struct ipc_handle {
  char magic[8];
  int pid, memfd;
};

EXPORTED CUresult cuIpcGetMemHandle(CUipcMemHandle *handle, CUdeviceptr address) {
  CALL(cuIpcGetMemHandle);
  NEEDS_CONTEXT();
  LOCKED();
  struct range *range = find_range(address);
  if (range == NULL || range->kind != ALLOCATED) return CUDA_ERROR_INVALID_VALUE;
  struct ipc_handle made = {"emulate", getpid(), range->physical->memfd};
  memset(handle, 0, sizeof *handle);
  memcpy(handle, &made, sizeof made);
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *address, CUipcMemHandle handle, unsigned int flags) {
  CALL(cuIpcOpenMemHandle_v2);
  NEEDS_CONTEXT();
  struct ipc_handle made;
  memcpy(&made, &handle, sizeof made);
  if (strcmp(made.magic, "emulate") != 0 || flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) return CUDA_ERROR_INVALID_VALUE;
  if (made.pid == getpid()) return CUDA_ERROR_INVALID_CONTEXT;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd/%d", made.pid, made.memfd);
  size_t size = 0;
  int memfd = open_memfd(path, &size);
  if (memfd < 0) return CUDA_ERROR_INVALID_HANDLE;
  LOCKED();
  struct physical *physical = make_physical(memfd, size, false, false);
  *address = reserve_addresses(size);
  if (*address == 0 || add_range(*address, size, physical, CU_MEM_ACCESS_FLAGS_PROT_READWRITE, OPENED) == NULL) {
    let_go(physical);
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  counts.opened++;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuIpcCloseMemHandle(CUdeviceptr address) {
  CALL(cuIpcCloseMemHandle);
  NEEDS_CONTEXT();
  LOCKED();
  struct range *range = find_range(address);
  if (range == NULL || range->base != address || range->kind != OPENED) return CUDA_ERROR_INVALID_VALUE;
  munmap((void *)(uintptr_t)address, range->size);
  remove_range(range);
  counts.opened--;
  return CUDA_SUCCESS;
}

bool is_pinned(const void *host, size_t bytes) {
  return find_span(pinned, (uintptr_t)host, bytes) != NULL;
}

EXPORTED CUresult cuMemHostRegister_v2(void *host, size_t bytes, unsigned int flags) {
  CALL(cuMemHostRegister_v2);
  NEEDS_CONTEXT();
  if (host == NULL || bytes == 0 || flags > 15) return CUDA_ERROR_INVALID_VALUE;
  LOCKED();
  /* Whole pages are pinned, so ranges may not meet in one. */
  uintptr_t first = (uintptr_t)host & ~(uintptr_t)4095, last = ((uintptr_t)host + bytes + 4095) & ~(uintptr_t)4095;
  for (struct span *span = pinned; span != NULL; span = span->next)
    if (span->base < last && first < span->base + span->size) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  add_span(&pinned, (uintptr_t)host, bytes, false);
  counts.registered++;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemHostUnregister(void *host) {
  CALL(cuMemHostUnregister);
  NEEDS_CONTEXT();
  LOCKED();
  if (!remove_span(&pinned, (uintptr_t)host, 0)) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  counts.registered--;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemHostAlloc(void **host, size_t bytes, unsigned int flags) {
  CALL(cuMemHostAlloc);
  NEEDS_CONTEXT();
  if (bytes == 0 || flags > 7) return CUDA_ERROR_INVALID_VALUE;
  *host = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (*host == NULL) return CUDA_ERROR_OUT_OF_MEMORY;
  LOCKED();
  add_span(&pinned, (uintptr_t)*host, bytes, true);
  counts.host_allocations++;
  return CUDA_SUCCESS;
}

EXPORTED CUresult cuMemFreeHost(void *host) {
  CALL(cuMemFreeHost);
  NEEDS_CONTEXT();
  LOCKED();
  struct span *span = find_span(pinned, (uintptr_t)host, 1);
  if (span == NULL || !span->owned || span->base != (uintptr_t)host) return CUDA_ERROR_INVALID_VALUE;
  remove_span(&pinned, (uintptr_t)host, 0);
  free(host);
  counts.host_allocations--;
  return CUDA_SUCCESS;
}
