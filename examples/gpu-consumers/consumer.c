/*
 * Attaches to a model that a Cairn daemon serves, and prints size and FNV-1a hash of every region, mapped.
 * Without a JSON library: for the names of tensors, hand the line that is received to one.
 *
 *     cc -o consumer consumer.c && ./consumer SOCKET VOLUME PATH
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 250
#define MOST_LINE (64 << 20)

static int descriptors[MOST_DESCRIPTORS];
static size_t descriptor_count;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* One line without its end, and into `descriptors` what came with it. What follows the line is kept for the next call. */
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
      char bytes[CMSG_SPACE(sizeof descriptors)];
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
      memcpy(descriptors + descriptor_count, CMSG_DATA(header), bytes);
      descriptor_count += bytes / sizeof(int);
    }
  }
}

static uint64_t fnv1a(const unsigned char *bytes, size_t length) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

int main(int count, char **words) {
  if (count != 4) {
    fprintf(stderr, "usage: %s SOCKET VOLUME PATH\n", words[0]);
    return 2;
  }
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0) fail(words[1]);
  if (strncmp(read_line(connection), "{\"cairn\":1,", 11) != 0) fail("another version of the protocol");

  dprintf(connection, "{\"cairn\":1,\"id\":1,\"op\":\"load\",\"descriptors\":true,\"model\":{\"volume\":\"%s\",\"path\":\"%s\"}}\n", words[2], words[3]);
  char *answer = read_line(connection);
  if (strstr(answer, "\"error\":") != NULL) {
    fprintf(stderr, "%s\n", answer);
    return 1;
  }
  for (size_t i = 0; i < descriptor_count; i++) {
    struct stat status;
    if (fstat(descriptors[i], &status) != 0) fail("fstat");
    size_t size = (size_t)status.st_size;
    const unsigned char *bytes = size == 0 ? NULL : mmap(NULL, size, PROT_READ, MAP_SHARED, descriptors[i], 0);
    if (bytes == MAP_FAILED) fail("mmap");
    printf("%zu %zu %016llx\n", i, size, (unsigned long long)fnv1a(bytes, size));
  }
  /* The lease lasts as long as the connection; what is mapped stays mapped also after it. */
  return 0;
}
