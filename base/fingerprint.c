/* fingerprint.c - see fingerprint.h. */
#include "base/fingerprint.h"

#include "base/core/mem.h"
#include "base/core/sha256.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 64, PIECES = 16 };

static int by_name(const void *a, const void *b)
{
    const struct lorac_tensor *const *x = a;
    const struct lorac_tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void add_number(struct lorac_sha256 *s, uint64_t x)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(x >> (8 * i));
    }
    lorac_sha256_add(s, bytes, sizeof bytes);
}

static void add_text(struct lorac_sha256 *s, const char *text, size_t n)
{
    add_number(s, n);
    lorac_sha256_add(s, text, n);
}

static void add_tensor(struct lorac_sha256 *s, const struct lorac_tensor *t)
{
    const char *type = lorac_dtype_name(t->dtype);
    add_text(s, t->name, strlen(t->name));
    add_text(s, type, strlen(type));
    add_number(s, t->n_dims);
    for (size_t i = 0; i < t->n_dims; i++) {
        add_number(s, t->dims[i]);
    }
    const unsigned char *data = t->data;
    size_t bytes = lorac_dtype_bytes(t->dtype, t->n);
    if (bytes <= (size_t)PIECE * PIECES) {
        lorac_sha256_add(s, data, bytes);
        return;
    }
    size_t last = bytes - PIECE;
    for (size_t k = 0; k < PIECES;
         k++) { // floor(k last / 15), without the product that may overflow
        size_t at = last / (PIECES - 1) * k + last % (PIECES - 1) * k / (PIECES - 1);
        lorac_sha256_add(s, data + at, PIECE);
    }
}

enum lorac_status lorac_checkpoint_fingerprint(char out[65], const struct lorac_checkpoint *c,
                                               const char *config_text, size_t n,
                                               struct lorac_err *err)
{
    static const char version[] = "lorac base 1\n";
    size_t count = lorac_checkpoint_count(c);
    const struct lorac_tensor **sorted = lorac_mem_new(count, sizeof(struct lorac_tensor *));
    if (!sorted) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to take its fingerprint",
                          lorac_checkpoint_shard_file(c, 0));
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = lorac_checkpoint_at(c, i);
    }
    if (count) { qsort(sorted, count, sizeof(struct lorac_tensor *), by_name); }
    struct lorac_sha256 s;
    lorac_sha256_init(&s);
    lorac_sha256_add(&s, version, sizeof version - 1);
    add_text(&s, config_text, n);
    add_number(&s, count);
    for (size_t i = 0; i < count; i++) {
        add_tensor(&s, sorted[i]);
    }
    lorac_sha256_hex(out, &s);
    lorac_mem_free(sorted);
    return LORAC_OK;
}
