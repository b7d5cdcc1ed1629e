/* dtype.c - the table of storage types. */
#include "base/core/dtype_impl.h"

#include "base/core/mem.h"

#include <assert.h>
#include <string.h>

#define LORAC_ROW(name) &lorac_storage_##name,
static const struct lorac_storage *const table[LORAC_N_DTYPES] = {LORAC_DTYPES(LORAC_ROW)};
#undef LORAC_ROW

static const struct lorac_storage *row(enum lorac_dtype t)
{
    assert(t < LORAC_N_DTYPES);
    return table[t];
}

const char *lorac_dtype_name(enum lorac_dtype t)
{
    return row(t)->name;
}

const char *lorac_dtype_torch(enum lorac_dtype t)
{
    return row(t)->torch;
}

bool lorac_dtype_is_float(enum lorac_dtype t)
{
    return row(t)->is_float;
}

bool lorac_dtype_find(enum lorac_dtype *out, const char *name)
{
    for (int t = 0; t < LORAC_N_DTYPES; t++) {
        if (table[t]->torch && strcmp(name, table[t]->name) == 0) {
            *out = (enum lorac_dtype)t;
            return true;
        }
    }
    return false;
}

bool lorac_dtype_find_torch(enum lorac_dtype *out, const char *name)
{
    for (int t = 0; t < LORAC_N_DTYPES; t++) {
        if (table[t]->is_float && table[t]->torch && strcmp(name, table[t]->torch) == 0) {
            *out = (enum lorac_dtype)t;
            return true;
        }
    }
    return false;
}

size_t lorac_dtype_block(enum lorac_dtype t)
{
    return row(t)->block;
}

bool lorac_dtype_measure(size_t *bytes, enum lorac_dtype t, size_t n)
{
    const struct lorac_storage *s = row(t);
    return n % s->block == 0 && lorac_mul(n / s->block, s->bytes, bytes);
}

size_t lorac_dtype_bytes(enum lorac_dtype t, size_t n)
{
    const struct lorac_storage *s = row(t);
    if (s->block == 1) { return n * s->bytes; }
    assert(n % s->block == 0);
    return n / s->block * s->bytes;
}

void lorac_dtype_decode(float *out, const void *in, enum lorac_dtype t, size_t n)
{
    assert(n % row(t)->block == 0);
    row(t)->decode(out, in, n);
}

void lorac_dtype_encode(void *out, const float *in, enum lorac_dtype t, size_t n)
{
    assert(n % row(t)->block == 0);
    assert(row(t)->encode);
    row(t)->encode(out, in, n);
}

/* The part of one block that is asked for. */
static size_t read_block(float *out, const struct lorac_storage *s, const char *block, size_t skip,
                         size_t n)
{
    float all[LORAC_DTYPE_RUN];
    size_t part = s->block - skip < n ? s->block - skip : n;
    s->decode(all, block, s->block);
    memcpy(out, all + skip, part * sizeof *out);
    return part;
}

void lorac_dtype_read(float *out, const void *stored, enum lorac_dtype t, size_t first, size_t n)
{
    const struct lorac_storage *s = row(t);
    const char *from = (const char *)stored + first / s->block * s->bytes;
    size_t skip = first % s->block;
    if (skip && n) {
        size_t part = read_block(out, s, from, skip, n);
        out += part;
        n -= part;
        from += s->bytes;
    }
    size_t whole = n - n % s->block;
    s->decode(out, from, whole);
    if (whole < n) {
        (void)read_block(out + whole, s, from + whole / s->block * s->bytes, 0, n - whole);
    }
}
