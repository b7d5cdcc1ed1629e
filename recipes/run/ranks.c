/* ranks.c - see ranks.h. */
#define _GNU_SOURCE // sched_getaffinity
#include "recipes/run/ranks_wire.h"

#include "base/compute/start.h"
#include "base/core/cores.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "base/core/sha256.h"

#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a rank does with the others. */
enum what { AGREE, GATHER, SUM, END };
enum { SLICE = 1 << 15 }; // floats of a sum that each rank makes at a time

/* What each says of it first. */
struct header {
    uint64_t what, status, bytes;
};

/* Told once. */
struct peer {
    char host[64], cpu[64];
    cpu_set_t may; // run on these cores
};
static const char cores_root[] = "/sys/devices/system/cpu";

struct lorac_ranks {
    struct lorac_wire wire;
    struct peer *peer;     // (n)
    struct header *header; // (n) of the call in hand
    struct lorac_err *own; // (n) what each has failed of
    int *count, *begin;    // (n)
    float *sent;           // (n,SLICE) a piece of a block
    float *got;            // (n,SLICE) all ranks' of our slice
    float *sum;            // (SLICE)
    struct lorac_buf all;  // what lorac_ranks_add() gathers
    struct lorac_err over; // what ended the work of all; code LORAC_OK: nothing
};

/* ---- begin and end ---- */

/* How many of this program mpirun, or another launcher of MPI's, has started. */
static size_t started(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]); // NOLINT(concurrency-mt-unsafe)
        long n = text ? strtol(text, NULL, 10) : 0;
        if (n > 1) { return (size_t)n; }
    }
    return 1;
}

static bool is_here(const struct lorac_ranks *r, size_t i)
{
    return strcmp(r->peer[i].host, r->peer[r->wire.rank].host) == 0;
}

/* Cores that ranks of this machine may use: all together, each counted once, and *each added
 * up. */
static size_t processors(size_t *each, const struct lorac_ranks *r)
{
    cpu_set_t any;
    CPU_ZERO(&any);
    *each = 0;
    for (size_t i = 0; i < r->wire.n; i++) {
        if (!is_here(r, i)) { continue; }
        CPU_OR(&any, &any, &r->peer[i].may);
        *each += (size_t)CPU_COUNT(&r->peer[i].may);
    }
    return (size_t)CPU_COUNT(&any);
}

/* Where several may use the same ones, each takes its part; and of what a container may use. */
static void divide_processors(const struct lorac_ranks *r)
{
    size_t each = 0;
    size_t any = processors(&each, r);
    size_t allowed = lorac_machine_processors();
    if (any > allowed) { any = allowed; }
    size_t own = (size_t)CPU_COUNT(&r->peer[r->wire.rank].may);
    if (each) { lorac_start_threads(own * any / each); }
}

static void ranks_free(struct lorac_ranks *r)
{
    r->wire.close(r->wire.self);
    lorac_mem_free(r->peer);
    lorac_mem_free(r->header);
    lorac_mem_free(r->own);
    lorac_mem_free(r->count);
    lorac_mem_free(r->begin);
    lorac_mem_free(r->sent);
    lorac_mem_free(r->got);
    lorac_mem_free(r->sum);
    lorac_buf_free(&r->all);
    lorac_mem_free(r);
}

enum lorac_status lorac_ranks_over(struct lorac_ranks **out, const struct lorac_wire *wire,
                                   struct lorac_err *err)
{
    size_t n = wire->n;
    struct peer own = {0};
    *out = NULL;
    lorac_machine_host(own.host);
    lorac_machine_cpu(own.cpu);
    if (sched_getaffinity(0, sizeof own.may, &own.may) != 0) { CPU_ZERO(&own.may); }
    (void)lorac_cores_keep(&own.may, cores_root);
    struct lorac_ranks *r = lorac_mem_new(1, sizeof *r);
    if (!r) {
        wire->close(wire->self);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for %zu ranks", n);
    }
    r->wire = *wire;
    r->peer = lorac_mem_new(n, sizeof *r->peer);
    r->header = lorac_mem_new(n, sizeof *r->header);
    r->own = lorac_mem_new(n, sizeof *r->own);
    r->count = lorac_mem_new(n, sizeof *r->count);
    r->begin = lorac_mem_new(n, sizeof *r->begin);
    r->sent = lorac_mem_new(n, SLICE * sizeof *r->sent);
    r->got = lorac_mem_new(n, SLICE * sizeof *r->got);
    r->sum = lorac_mem_new(SLICE, sizeof *r->sum);
    bool fits =
        r->peer && r->header && r->own && r->count && r->begin && r->sent && r->got && r->sum;
    if (!fits || !wire->gather(wire->self, r->peer, &own, sizeof own)) {
        ranks_free(r);
        return fits ? lorac_fail(err, LORAC_EIO, "the ranks cannot reach each other")
                    : lorac_fail(err, LORAC_ENOMEM, "no memory for %zu ranks", n);
    }
    divide_processors(r);
    *out = r;
    return LORAC_OK;
}

enum lorac_status lorac_ranks_begin(struct lorac_ranks **out, struct lorac_err *err)
{
    size_t n = started();
    *out = NULL;
    if (n == 1) { return LORAC_OK; }
#ifdef LORAC_HAVE_MPI
    struct lorac_wire wire;
    enum lorac_status st = lorac_wire_open(&wire, err);
    return st ? st : lorac_ranks_over(out, &wire, err);
#else
    return lorac_fail(err, LORAC_ENOTSUP,
                      "mpirun started %zu of this program, which is built without MPI: each would "
                      "do all of the work (cmake -DLORAC_MPI=ON, with libopenmpi-dev)",
                      n);
#endif
}

/* ---- who ---- */

size_t lorac_ranks_rank(const struct lorac_ranks *r)
{
    return r ? r->wire.rank : 0;
}

size_t lorac_ranks_count(const struct lorac_ranks *r)
{
    return r ? r->wire.n : 1;
}

size_t lorac_ranks_here(const struct lorac_ranks *r)
{
    size_t n = r ? 0 : 1;
    for (size_t i = 0; i < lorac_ranks_count(r) && r; i++) {
        n += is_here(r, i);
    }
    return n;
}

bool lorac_ranks_alike(const struct lorac_ranks *r)
{
    for (size_t i = 1; i < lorac_ranks_count(r); i++) {
        if (strcmp(r->peer[i].cpu, r->peer[0].cpu) != 0) { return false; }
    }
    return true;
}

size_t lorac_ranks_unused(const struct lorac_ranks *r)
{
    size_t each = 0;
    bool bound = getenv("OMPI_MCA_orte_bound_at_launch"); // NOLINT(concurrency-mt-unsafe)
    size_t used = r && bound ? processors(&each, r) : 0;
    size_t all = lorac_machine_processors();
    cpu_set_t any;
    CPU_ZERO(&any);
    for (size_t i = 0; i < all && i < CPU_SETSIZE; i++) {
        CPU_SET(i, &any);
    }
    all = lorac_cores_keep(&any, cores_root);
    return used && all > used ? all - used : 0;
}

void lorac_ranks_rows(size_t *from, size_t *end, const struct lorac_ranks *r, size_t n)
{
    size_t ranks = lorac_ranks_count(r);
    size_t each = n / ranks;
    size_t more = n % ranks; // of the first ranks, one more
    size_t rank = lorac_ranks_rank(r);
    *from = rank * each + (rank < more ? rank : more);
    *end = *from + each + (rank < more);
}

/* ---- meeting ---- */

static bool tell(struct lorac_ranks *r, enum what what, enum lorac_status st, size_t bytes)
{
    const struct header own = {what, (uint64_t)st, bytes};
    return r->wire.gather(r->wire.self, r->header, &own, sizeof own);
}

/* It is over for all: this call fails, and each later one. */
static enum lorac_status end_all(struct lorac_ranks *r, enum lorac_status code, const char *text,
                                 struct lorac_err *err)
{
    lorac_err_set(&r->over, code, "%s", text);
    return lorac_fail(err, code, "%s", text);
}

static enum lorac_status lost(struct lorac_ranks *r, struct lorac_err *err)
{
    return end_all(r, LORAC_EIO, "the other ranks are lost", err);
}

/* Rank i has failed, or has ended: said as it says it. */
static enum lorac_status follow(struct lorac_ranks *r, size_t i, bool failed, enum lorac_status st,
                                struct lorac_err *err)
{
    struct lorac_err own = {.code = st};
    (void)snprintf(own.text, sizeof own.text, "%s", st && err ? err->text : "unknown reason");
    if (!failed) {
        own.code = LORAC_EIO;
        (void)snprintf(own.text, sizeof own.text, "is not where rank 0 is");
    } else if (!r->wire.gather(r->wire.self, r->own, &own, sizeof own)) {
        return lost(r, err);
    } else {
        own = r->own[i];
    }
    if (i > 0) { lorac_err_prefix(&own, "rank %zu on %s: ", i, r->peer[i].host); }
    return end_all(r, own.code, own.text, err);
}

/* All are in the same call, and none has failed. *together: the first of it. */
static enum lorac_status meet(bool *together, struct lorac_ranks *r, enum what what, size_t bytes,
                              enum lorac_status st, struct lorac_err *err)
{
    size_t failed = r->wire.n;
    size_t elsewhere = r->wire.n;
    *together = false;
    if (r->over.code) { return st ? st : lorac_fail(err, r->over.code, "%s", r->over.text); }
    if (!tell(r, what, st, bytes)) { return lost(r, err); }
    for (size_t i = r->wire.n; i-- > 0;) {
        if (r->header[i].status) { failed = i; }
        if (r->header[i].what != r->header[0].what) { elsewhere = i; }
    }
    *together = elsewhere == r->wire.n;
    if (failed < r->wire.n) { return follow(r, failed, true, st, err); }
    return *together ? LORAC_OK : follow(r, elsewhere, false, st, err);
}

enum lorac_status lorac_ranks_agree(struct lorac_ranks *r, enum lorac_status st,
                                    struct lorac_err *err)
{
    bool together = false;
    return r ? meet(&together, r, AGREE, 0, st, err) : st;
}

enum lorac_status lorac_ranks_end(struct lorac_ranks *r, enum lorac_status st,
                                  struct lorac_err *err)
{
    bool together = false;
    if (!r) { return st; }
    st = meet(&together, r, END, 0, st, err);
    ranks_free(r);
    return st;
}

/* ---- what goes between them ---- */

/* Where the bytes of each go; the sum of them. */
static size_t place(struct lorac_ranks *r)
{
    size_t sum = 0;
    for (size_t i = 0; i < r->wire.n; i++) {
        r->begin[i] = (int)(sum < INT_MAX ? sum : INT_MAX);
        r->count[i] = (int)(r->header[i].bytes < INT_MAX ? r->header[i].bytes : INT_MAX);
        sum += (size_t)r->header[i].bytes;
    }
    return sum;
}

enum lorac_status lorac_ranks_gather(struct lorac_buf *all, struct lorac_ranks *r, const void *own,
                                     size_t n, enum lorac_status st, struct lorac_err *err)
{
    bool together = true;
    lorac_buf_clear(all);
    if (r) { st = meet(&together, r, GATHER, n, st, err); }
    if (!together) { return st; }
    size_t sum = r ? place(r) : n;
    char *to = sum <= INT_MAX ? lorac_buf_room(all, sum) : NULL;
    bool fits = to != NULL;
    if (r && !tell(r, GATHER, LORAC_OK, fits)) { return lost(r, err); }
    for (size_t i = 0; r && i < r->wire.n; i++) {
        fits = fits && r->header[i].bytes; // on each
    }
    if (!fits) {
        char text[64];
        lorac_buf_clear(all);
        (void)snprintf(text, sizeof text, "no memory for the %zu bytes of all ranks", sum);
        if (st) { return st; }
        return r ? end_all(r, LORAC_ENOMEM, text, err) : lorac_fail(err, LORAC_ENOMEM, "%s", text);
    }
    if (!r) { memcpy(to, n ? own : "", n); }
    if (r && !r->wire.gather_some(r->wire.self, to, own, r->count, r->begin)) {
        return lost(r, err);
    }
    return st;
}

enum lorac_status lorac_ranks_add(double *x, size_t n, struct lorac_ranks *r, enum lorac_status st,
                                  struct lorac_err *err)
{
    if (!r) { return st; }
    st = lorac_ranks_gather(&r->all, r, x, n * sizeof *x, st, err);
    for (size_t i = 0; r->all.n && i < r->wire.n; i++) {
        for (size_t k = 0; k < n; k++) {
            double one = 0.0;
            memcpy(&one, r->all.at + (i * n + k) * sizeof one, sizeof one);
            x[k] = i == 0 ? one : x[k] + one;
        }
    }
    return st;
}

enum lorac_status lorac_ranks_broadcast(void *x, size_t n, struct lorac_ranks *r,
                                        enum lorac_status st, struct lorac_err *err)
{
    struct lorac_buf all = {0};
    if (!r) { return st; }
    st = lorac_ranks_gather(&all, r, x, r->wire.rank == 0 ? n : 0, st, err);
    if (!st && all.n != n) {
        st = lorac_fail(err, LORAC_EFORMAT, "rank 0 has %zu bytes where this rank has %zu", all.n,
                        n);
    }
    if (!st) { memcpy(x, all.at, n); }
    lorac_buf_free(&all);
    return st;
}

/* x (n <= wire.n SLICE) in slices, of which each rank adds up one. */
static bool sum_piece(float *x, size_t n, struct lorac_ranks *r)
{
    const struct lorac_wire *w = &r->wire;
    size_t slice = (n + w->n - 1) / w->n;
    memcpy(r->sent, x, n * sizeof *x);
    memset(r->sent + n, 0, (slice * w->n - n) * sizeof *x);
    if (!w->exchange(w->self, r->got, r->sent, slice * sizeof *x)) { return false; }
    for (size_t k = 0; k < slice; k++) {
        double sum = 0.0;
        for (size_t i = 0; i < w->n; i++) {
            sum += (double)r->got[i * slice + k];
        }
        r->sum[k] = (float)sum;
    }
    if (!w->gather(w->self, r->sent, r->sum, slice * sizeof *x)) { return false; }
    memcpy(x, r->sent, n * sizeof *x);
    return true;
}

enum lorac_status lorac_ranks_sum(float *x, size_t n, struct lorac_ranks *r, enum lorac_status st,
                                  struct lorac_err *err)
{
    bool together = false;
    if (!r) { return st; }
    st = meet(&together, r, SUM, n, st, err);
    size_t most = r->wire.n * SLICE;
    for (size_t at = 0; at < n && !st; at += most) {
        if (!sum_piece(x + at, n - at < most ? n - at : most, r)) { st = lost(r, err); }
    }
    return st;
}

enum lorac_status lorac_ranks_same(struct lorac_ranks *r, const char *what, const char *value,
                                   enum lorac_status st, struct lorac_err *err)
{
    char own[80] = "";
    struct lorac_buf all = {0};
    if (!r) { return st; }
    if (strlen(value) < sizeof own) {
        (void)snprintf(own, sizeof own, "%s", value);
    } else { // its beginning would not tell all
        struct lorac_sha256 sha;
        char hex[65];
        lorac_sha256_init(&sha);
        lorac_sha256_add(&sha, value, strlen(value));
        lorac_sha256_hex(hex, &sha);
        (void)snprintf(own, sizeof own, "sha256 %s", hex);
    }
    st = lorac_ranks_gather(&all, r, own, sizeof own, st, err);
    for (size_t i = 1; i < r->wire.n && !st; i++) {
        const char *other = all.at + i * sizeof own;
        if (strcmp(other, all.at) == 0) { continue; }
        st = lorac_fail(err, LORAC_EUSER,
                        "rank %zu on %s has another %s than rank 0 on %s: %s, not %s", i,
                        r->peer[i].host, what, r->peer[0].host, other, all.at);
    }
    lorac_buf_free(&all);
    return st;
}
