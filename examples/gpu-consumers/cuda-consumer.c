/*
 * Maps a model in the memory of a GPU, and prints size and FNV-1a hash of every region, every byte of which it reads back.
 *
 *     cc -o cuda-consumer cuda-consumer.c -I/usr/local/cuda/include -lcuda
 *     ./cuda-consumer SOCKET VOLUME PATH           the daemon owns the memory: mapped for reading
 *     ./cuda-consumer SOCKET VOLUME PATH --write   and then tries to write to it
 *     ./cuda-consumer SOCKET VOLUME PATH --hold    maps, says so, and reads only when stdin ends, whatever became of the daemon
 *     ./cuda-consumer SOCKET VOLUME PATH --fill    this program owns the memory, and has the daemon fill it
 *
 * Without a JSON library: it relies on the daemon writing its answers without spaces.
 */
#define _GNU_SOURCE
#include <cuda.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_REGIONS 250
#define MOST_LINE (64 << 20)
#define BUFFER_BYTES (4 << 20)

struct region {
  size_t size, mapped;
  CUdeviceptr address;
  CUmemGenericAllocationHandle handle;
  int is_ipc;
};

static int received[MOST_REGIONS];
static size_t received_count;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void check(CUresult code, const char *call) {
  const char *name = NULL;
  if (code == CUDA_SUCCESS) return;
  cuGetErrorName(code, &name);
  fprintf(stderr, "%s: %s (%d)\n", call, name == NULL ? "?" : name, (int)code);
  exit(1);
}
#define CHECK(call) check(call, #call)

/* One line without its end; what came with it goes into `received`. */
static char *read_line(int connection) {
  static char *data;
  static size_t have;
  if (data == NULL && (data = malloc(MOST_LINE)) == NULL) fail("malloc");
  for (;;) {
    char *end = memchr(data, '\n', have);
    if (end != NULL) {
      char *line = strndup(data, (size_t)(end - data));
      have -= (size_t)(end + 1 - data);
      memmove(data, end + 1, have);
      return line;
    }
    union {
      char bytes[CMSG_SPACE(sizeof received)];
      struct cmsghdr align;
    } control;
    struct iovec part = {data + have, MOST_LINE - have};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0) fail("the daemon hung up");
    have += (size_t)got;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      size_t bytes = header->cmsg_len - CMSG_LEN(0);
      memcpy(received + received_count, CMSG_DATA(header), bytes);
      received_count += bytes / sizeof(int);
    }
  }
}

static char *ask(int connection, const char *request) {
  if (request != NULL) dprintf(connection, "%s\n", request);
  char *answer = read_line(connection);
  if (strstr(answer, "\"error\":") == NULL) return answer;
  fprintf(stderr, "%s\n", answer);
  exit(1);
}

/* One byte that carries descriptors. */
static void send_descriptors(int connection, const int *descriptors, size_t count) {
  union {
    char bytes[CMSG_SPACE(sizeof received)];
    struct cmsghdr align;
  } control;
  struct iovec part = {"!", 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(count * sizeof *descriptors)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof *descriptors);
  memcpy(CMSG_DATA(header), descriptors, count * sizeof *descriptors);
  if (sendmsg(connection, &message, 0) != 1) fail("sendmsg");
}

/* The number, or the start of the text, behind a name; NULL when it is not there before `end`. */
static char *value_of(char *json, const char *name, const char *end) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":", name);
  char *found = strstr(json, key);
  return found == NULL || (end != NULL && found >= end) ? NULL : found + strlen(key) + (found[strlen(key)] == '"');
}

/* The device that the daemon means: numbers differ between processes (CUDA_VISIBLE_DEVICES), names of 16 bytes do not. */
static CUdevice device_by_uuid(const char *wanted) {
  int count;
  CHECK(cuDeviceGetCount(&count));
  for (int i = 0; i < count; i++) {
    CUdevice device;
    CUuuid uuid;
    char text[41] = "GPU-", *at = text + 4;
    CHECK(cuDeviceGet(&device, i));
    CHECK(cuDeviceGetUuid(&uuid, device));
    for (int k = 0; k < 16; k++) at += sprintf(at, "%s%02x", k == 4 || k == 6 || k == 8 || k == 10 ? "-" : "", (unsigned char)uuid.bytes[k]);
    if (strncmp(text, wanted, 40) == 0) return device;
  }
  fprintf(stderr, "this process does not see device %.40s\n", wanted);
  exit(1);
}

static void map(struct region *region, CUdevice device) {
  CUmemAccessDesc access = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device}, .flags = CU_MEM_ACCESS_FLAGS_PROT_READ};
  CHECK(cuMemAddressReserve(&region->address, region->mapped, 0, 0, 0));
  CHECK(cuMemMap(region->address, region->mapped, 0, region->handle, 0));
  CHECK(cuMemSetAccess(region->address, region->mapped, &access, 1));
}

static uint64_t hash_of(const struct region *region, unsigned char *buffer) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t at = 0; at < region->size; at += BUFFER_BYTES) {
    size_t bytes = region->size - at < BUFFER_BYTES ? region->size - at : BUFFER_BYTES;
    CHECK(cuMemcpyDtoH(buffer, region->address + at, bytes));
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ buffer[i]) * 0x100000001b3;
  }
  return hash;
}

/* Memory of the daemon, as its answer describes it. */
static void open_region(struct region *region, char *json, const char *end, CUdevice device) {
  region->mapped = strtoull(value_of(json, "allocationSize", end), NULL, 10);
  char *descriptor = value_of(json, "descriptor", end), *handle = value_of(json, "handle", end);
  if (descriptor != NULL) {
    int fd = received[atoi(descriptor)];
    CHECK(cuMemImportFromShareableHandle(&region->handle, (void *)(intptr_t)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    map(region, device);
    return;
  }
  CUipcMemHandle ipc;
  for (size_t i = 0; i < sizeof ipc; i++) sscanf(handle + 2 * i, "%2hhx", (unsigned char *)&ipc + i);
  CHECK(cuIpcOpenMemHandle(&region->address, ipc, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
  region->is_ipc = 1;
}

/* Memory of this process, which others can be given. Returns a descriptor for them. */
static int make_region(struct region *region, CUdevice device) {
  CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                              .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                              .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device}};
  size_t granularity;
  int fd;
  CHECK(cuMemGetAllocationGranularity(&granularity, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  region->mapped = (region->size + granularity - 1) / granularity * granularity;
  CHECK(cuMemCreate(&region->handle, region->mapped, &prop, 0));
  CHECK(cuMemExportToShareableHandle(&fd, region->handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  map(region, device);
  return fd;
}

int main(int count, char **words) {
  if (count < 4) {
    fprintf(stderr, "usage: %s SOCKET VOLUME PATH [--write | --hold | --fill]\n", words[0]);
    return 2;
  }
  const char *how = count > 4 ? words[4] : "";
  int fills = strcmp(how, "--fill") == 0, writes = strcmp(how, "--write") == 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0) fail(words[1]);
  char *greeting = ask(connection, NULL), *uuid = value_of(greeting, "uuid", NULL);
  if (strncmp(greeting, "{\"cairn\":1,", 11) != 0 || uuid == NULL) {
    fprintf(stderr, "another version of the protocol, or no GPU: %s\n", greeting);
    return 1;
  }
  CHECK(cuInit(0));
  CUdevice device = device_by_uuid(uuid);
  CUcontext context;
  CHECK(cuDevicePrimaryCtxRetain(&context, device));
  CHECK(cuCtxSetCurrent(context));

  char request[4096];
  snprintf(request, sizeof request, "{\"cairn\":1,\"id\":1,\"op\":\"%s\",\"descriptors\":true,\"model\":{\"volume\":\"%s\",\"path\":\"%s\"}}",
           fills ? "plan" : "load", words[2], words[3]);
  char *answer = ask(connection, request);
  char *regions = strstr(answer, "\"regions\":["), *end = strstr(regions, "\"files\":[");
  static struct region region[MOST_REGIONS];
  static int made[MOST_REGIONS];
  size_t region_count = 0, made_count = 0;
  for (char *at = strstr(regions, "{\"size\":"); at != NULL && at < end; region_count++) {
    char *next = strstr(at + 1, "{\"size\":");
    struct region *one = &region[region_count];
    one->size = strtoull(at + strlen("{\"size\":"), NULL, 10);
    if (one->size > 0 && fills) made[made_count++] = make_region(one, device);
    if (one->size > 0 && !fills) open_region(one, at, next != NULL && next < end ? next : end, device);
    at = next;
  }
  if (fills) {
    /* The version that was planned, whatever has been committed since. */
    snprintf(request, sizeof request,
             "{\"id\":2,\"op\":\"fill\",\"key\":\"%.64s\",\"model\":{\"volume\":\"%s\",\"path\":\"%s\",\"ref\":\"%.64s\"}}", value_of(answer, "key", NULL),
             words[2], words[3], value_of(answer, "snapshot", NULL));
    if (made_count > 0) {
      ask(connection, request); /* says how many it expects */
      send_descriptors(connection, made, made_count);
      ask(connection, NULL); /* the memory is filled */
      for (size_t i = 0; i < made_count; i++) close(made[i]);
    } else
      ask(connection, request);
  }

  if (strcmp(how, "--hold") == 0) {
    printf("mapped\n");
    fflush(stdout);
    while (getchar() != EOF) continue;
  }
  unsigned char *buffer;
  CHECK(cuMemHostAlloc((void **)&buffer, BUFFER_BYTES, 0));
  for (size_t i = 0; i < region_count; i++)
    printf("%zu %zu %016llx\n", i, region[i].size, (unsigned long long)hash_of(&region[i], buffer));
  CHECK(cuMemFreeHost(buffer));
  fflush(stdout);
  if (writes) {
    CUresult code = cuMemcpyHtoD(region[0].address, "x", 1);
    printf("%s\n", code == CUDA_SUCCESS ? "written" : "not written");
    /* The context is of no use after such an error. */
    return code == CUDA_SUCCESS;
  }
  for (size_t i = 0; i < region_count; i++) {
    if (region[i].is_ipc) CHECK(cuIpcCloseMemHandle(region[i].address));
    if (region[i].size == 0 || region[i].is_ipc) continue;
    CHECK(cuMemUnmap(region[i].address, region[i].mapped));
    CHECK(cuMemAddressFree(region[i].address, region[i].mapped));
    CHECK(cuMemRelease(region[i].handle));
  }
  CHECK(cuDevicePrimaryCtxRelease(device));
  for (size_t i = 0; i < received_count; i++) close(received[i]);
  /* The lease ends with the connection. */
  close(connection);
  return 0;
}
