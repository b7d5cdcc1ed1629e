/* vocab.c - token text <-> id, and pair of ids -> merge: open addressing, never more than
 * half full, built once. */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <string.h>

static size_t table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n + 2) {
        size *= 2;
    }
    return size;
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93ULL; // Mulvey's mixer
    h ^= h >> 32;
    return h;
}

static uint64_t hash_text(const char *s, size_t n)
{
    uint64_t h = n;
    for (; n >= 8; s += 8, n -= 8) {
        uint64_t w = 0;
        memcpy(&w, s, 8);
        h = mix(h ^ w) + 0x9E3779B97F4A7C15ULL;
    }
    uint64_t w = 0;
    if (n) { memcpy(&w, s, n); }
    return mix(mix(h ^ w) + 0x9E3779B97F4A7C15ULL);
}

/* A table for `n` tokens with those that are known. */
static enum lorac_status rehash(struct lorac_vocab *v, size_t n, struct lorac_err *err)
{
    size_t size = table_size(n);
    int32_t *slots = lorac_mem_new(size, sizeof *slots);
    if (!slots) { return lorac_no_memory(err); }
    memset(slots, 0xFF, size * sizeof *slots); // -1
    for (size_t id = 0; id < v->size; id++) {
        if (!v->at[id]) { continue; }
        size_t i = hash_text(v->arena + v->at[id] - 1, v->length[id]) & (size - 1);
        while (slots[i] >= 0) {
            i = (i + 1) & (size - 1);
        }
        slots[i] = (int32_t)id;
    }
    lorac_mem_free(v->slots);
    v->slots = slots;
    v->mask = size - 1;
    return LORAC_OK;
}

enum lorac_status lorac_vocab_reserve(struct lorac_vocab *v, size_t n, size_t n_ids, size_t bytes,
                                      struct lorac_err *err)
{
    if (!v->slots || 2 * (v->count + n) > v->mask) {
        enum lorac_status st = rehash(v, v->count + n, err);
        if (st) { return st; }
    }
    char *arena = lorac_mem_grow(v->arena, v->used, &v->cap, v->used + bytes + n, 1);
    if (!arena) { return lorac_no_memory(err); }
    v->arena = arena;
    size_t cap = v->cap_ids;
    uint32_t *at = lorac_mem_grow(v->at, v->size, &cap, n_ids, sizeof *at);
    if (!at) { return lorac_no_memory(err); }
    v->at = at;
    cap = v->cap_ids;
    uint32_t *length = lorac_mem_grow(v->length, v->size, &cap, n_ids, sizeof *length);
    if (!length) { return lorac_no_memory(err); }
    v->length = length;
    v->cap_ids = cap;
    return LORAC_OK;
}

void lorac_vocab_put(struct lorac_vocab *v, int32_t id, const char *s, size_t n)
{
    size_t i = hash_text(s, n) & v->mask;
    while (v->slots[i] >= 0) {
        i = (i + 1) & v->mask;
    }
    v->slots[i] = id;
    if (n) { memcpy(v->arena + v->used, s, n); }
    v->at[id] = (uint32_t)v->used + 1;
    v->length[id] = (uint32_t)n;
    v->used += n + 1; // the arena is zeroed
    v->count++;
    if ((size_t)id >= v->size) { v->size = (size_t)id + 1; }
}

const char *lorac_vocab_text(const struct lorac_vocab *v, int32_t id, size_t *n)
{
    if (id < 0 || (size_t)id >= v->size || !v->at[id]) { return NULL; }
    *n = v->length[id];
    return v->arena + v->at[id] - 1;
}

int32_t lorac_vocab_find(const struct lorac_vocab *v, const char *s, size_t n)
{
    if (!v->slots) { return -1; }
    for (size_t i = hash_text(s, n) & v->mask; v->slots[i] >= 0; i = (i + 1) & v->mask) {
        int32_t id = v->slots[i];
        if (v->length[id] == n && memcmp(v->arena + v->at[id] - 1, s, n) == 0) { return id; }
    }
    return -1;
}

void lorac_vocab_release(struct lorac_vocab *v)
{
    lorac_mem_free(v->arena);
    lorac_mem_free(v->at);
    lorac_mem_free(v->length);
    lorac_mem_free(v->slots);
    *v = (struct lorac_vocab){0};
}

static size_t hash_pair(int32_t a, int32_t b)
{
    return (size_t)mix(((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9E3779B97F4A7C15ULL);
}

enum lorac_status lorac_merges_init(struct lorac_merges *m, size_t n, struct lorac_err *err)
{
    m->mask = table_size(n) - 1;
    m->slots = lorac_mem_new(m->mask + 1, sizeof *m->slots);
    if (!m->slots) { return lorac_no_memory(err); }
    for (size_t i = 0; i <= m->mask; i++) {
        m->slots[i].a = -1;
    }
    return LORAC_OK;
}

bool lorac_merges_put(struct lorac_merges *m, struct lorac_merge merge)
{
    size_t i = hash_pair(merge.a, merge.b) & m->mask;
    for (; m->slots[i].a >= 0; i = (i + 1) & m->mask) {
        if (m->slots[i].a == merge.a && m->slots[i].b == merge.b) { return false; }
    }
    m->slots[i] = merge;
    return true;
}

const struct lorac_merge *lorac_merges_find(const struct lorac_merges *m, int32_t a, int32_t b)
{
    for (size_t i = hash_pair(a, b) & m->mask; m->slots[i].a >= 0; i = (i + 1) & m->mask) {
        if (m->slots[i].a == a && m->slots[i].b == b) { return &m->slots[i]; }
    }
    return NULL;
}
