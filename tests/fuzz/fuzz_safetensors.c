/*
 * Any bytes as a safetensors image: refused with a message, or, if accepted, every tensor can be
 * read to its last byte and survives being written and read again.
 */
#include "base/checkpoint/safetensors.h"
#include "base/core/file.h"
#include "base/core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds, const char *what)
{
    if (holds) { return; }
    fprintf(stderr, "fuzz_safetensors: %s\n", what);
    abort();
}

/* Write `c` in its own order and compare what is read back. */
static void round_trip(const struct lorac_checkpoint *c)
{
    char path[64];
    struct lorac_err err = {0};
    struct lorac_checkpoint *back = NULL;
    size_t n = lorac_checkpoint_count(c);
    struct lorac_tensor_spec *specs = lorac_mem_new(n, sizeof *specs);
    require(specs != NULL, "no memory");
    for (size_t i = 0; i < n; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        specs[i] = (struct lorac_tensor_spec){t->name, t->dtype, t->n_dims, {0}, t->data};
        memcpy(specs[i].dims, t->dims, sizeof t->dims);
    }
    snprintf(path, sizeof path, "fuzz-%ld.safetensors", (long)getpid());
    require(!lorac_safetensors_write(path, specs, n, NULL, 0, NULL, NULL, &err), err.text);
    require(!lorac_checkpoint_open(&back, path, &err), err.text);
    require(lorac_checkpoint_count(back) == n, "the number of tensors changed");
    for (size_t i = 0; i < n; i++) {
        const struct lorac_tensor *a = lorac_checkpoint_at(c, i);
        const struct lorac_tensor *b = lorac_checkpoint_find(back, a->name);
        require(b && a->dtype == b->dtype && a->n == b->n && a->n_dims == b->n_dims &&
                    memcmp(a->dims, b->dims, sizeof a->dims) == 0,
                "a tensor changed its shape");
        size_t bytes = lorac_dtype_bytes(a->dtype, a->n);
        require(bytes == 0 || memcmp(a->data, b->data, bytes) == 0, "a tensor changed its data");
    }
    lorac_checkpoint_close(back);
    lorac_mem_free(specs);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    if (lorac_checkpoint_parse(&c, data, size, "input", &err)) {
        require(err.text[0] != '\0' && !c, "refused without a message");
        return 0;
    }
    round_trip(c);
    lorac_checkpoint_close(c);
    return 0;
}
