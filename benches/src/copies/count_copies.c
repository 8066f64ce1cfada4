/* Counts what a program copies within its own memory, while it runs: loaded with LD_PRELOAD in front of the C
 * library, it takes the place of memcpy and memmove and adds the length of every call to two numbers that the
 * observer reads from a mapped file (named by COLDFRONT_COUNT_COPIES): all bytes, and those of calls long enough to
 * be payload. C, because the workspace forbids unsafe Rust and this is nothing else. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Heads of answers are shorter than this, buffers of payload are longer. */
#define PAYLOAD 1024

static _Atomic uint64_t nowhere[2];
static _Atomic uint64_t *counted = nowhere;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("COLDFRONT_COUNT_COPIES");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED)
        counted = page;
}

static inline void count(size_t length) {
    atomic_fetch_add_explicit(&counted[0], length, memory_order_relaxed);
    if (length >= PAYLOAD)
        atomic_fetch_add_explicit(&counted[1], length, memory_order_relaxed);
}

static inline void forwards(void *to, const void *from, size_t length) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

static inline void backwards(unsigned char *to, const unsigned char *from, size_t length) {
    while (length-- > 0) {
        to[length] = from[length];
        __asm__ volatile("" : : : "memory"); /* or the compiler makes this a call of memmove */
    }
}

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    count(length);
    forwards(to, from, length);
    return to;
}

void *memmove(void *to, const void *from, size_t length) {
    count(length);
    if ((uintptr_t)to - (uintptr_t)from < length)
        backwards(to, from, length);
    else
        forwards(to, from, length);
    return to;
}
