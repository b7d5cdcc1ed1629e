/* world.c - see world.h. */
#include "tests/support/world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct meeting {
    pthread_barrier_t barrier;
    const char *from[WORLD_MOST];
    size_t n;
};
struct place {
    struct meeting *m;
    size_t rank, calls;
    size_t lost_at; // of its calls the one that fails; 0: none
};

static bool put(struct place *p, const void *from)
{
    if (++p->calls == p->lost_at) { return false; }
    p->m->from[p->rank] = from;
    (void)pthread_barrier_wait(&p->m->barrier);
    return true;
}

static bool gather(void *self, void *all, const void *own, size_t bytes)
{
    struct place *p = self;
    if (!put(p, own)) { return false; }
    for (size_t i = 0; i < p->m->n; i++) {
        memcpy((char *)all + i * bytes, p->m->from[i], bytes);
    }
    (void)pthread_barrier_wait(&p->m->barrier);
    return true;
}

static bool gather_some(void *self, void *all, const void *own, const int *count, const int *begin)
{
    struct place *p = self;
    if (!put(p, own)) { return false; }
    for (size_t i = 0; i < p->m->n; i++) {
        if (count[i]) { memcpy((char *)all + begin[i], p->m->from[i], (size_t)count[i]); }
    }
    (void)pthread_barrier_wait(&p->m->barrier);
    return true;
}

static bool exchange(void *self, void *to, const void *from, size_t bytes)
{
    struct place *p = self;
    if (!put(p, from)) { return false; }
    for (size_t i = 0; i < p->m->n; i++) {
        memcpy((char *)to + i * bytes, p->m->from[i] + p->rank * bytes, bytes);
    }
    (void)pthread_barrier_wait(&p->m->barrier);
    return true;
}

static void leave(void *self)
{
    (void)self;
}

/* A rank's thread. */
struct member {
    struct seen *seen;
    struct place *place;
    world_go_fn *go;
};

static enum lorac_status begin(struct lorac_ranks **out, struct place *p, struct lorac_err *err)
{
    const struct lorac_wire wire = {p->rank, p->m->n, p, gather, gather_some, exchange, leave};
    return lorac_ranks_over(out, &wire, err);
}

static void *live(void *self)
{
    const struct member *m = self;
    struct seen *s = m->seen;
    struct lorac_ranks *r = NULL;
    s->st = begin(&r, m->place, &s->err);
    if (!s->st) { s->st = m->go(s, r, &s->err); }
    s->st = lorac_ranks_agree(r, s->st, &s->err);
    s->again = lorac_ranks_agree(r, LORAC_OK, NULL);
    enum lorac_status end = lorac_ranks_end(r, s->st, &s->err);
    s->st = s->st ? s->st : end;
    return NULL;
}

void world_live(struct seen *seen, size_t n, size_t lost_at, world_go_fn *go, const void *with)
{
    struct place place[WORLD_MOST] = {0};
    struct member member[WORLD_MOST];
    struct meeting m = {.n = n};
    pthread_t thread[WORLD_MOST];
    assert_int_equal(pthread_barrier_init(&m.barrier, NULL, (unsigned)n), 0);
    for (size_t i = 0; i < n; i++) {
        place[i] = (struct place){&m, i, 0, lost_at};
        seen[i] = (struct seen){.rank = i, .n = n, .with = with};
        member[i] = (struct member){&seen[i], &place[i], go};
        assert_int_equal(pthread_create(&thread[i], NULL, live, &member[i]), 0);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    (void)pthread_barrier_destroy(&m.barrier);
}

enum lorac_status world_alone(world_go_fn *go, const void *with, struct lorac_err *err)
{
    struct meeting m = {.n = 1};
    struct place place = {&m, 0, 0, 0};
    struct seen s = {.n = 1, .with = with};
    struct lorac_ranks *r = NULL;
    (void)pthread_barrier_init(&m.barrier, NULL, 1);
    enum lorac_status st = begin(&r, &place, err);
    if (!st) { st = go(&s, r, err); }
    st = lorac_ranks_end(r, st, err);
    world_forget(&s, 1);
    (void)pthread_barrier_destroy(&m.barrier);
    return st;
}

void world_forget(struct seen *seen, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(seen[i].x);
        lorac_buf_free(&seen[i].all);
    }
}

void world_well(const struct seen *seen, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (seen[i].st) { fail_msg("rank %zu: %s", i, seen[i].err.text); }
    }
}

/* Every rank failed so, and fails again. */
void world_failed(const struct seen *seen, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_not_equal(seen[i].st, LORAC_OK);
        assert_int_equal(seen[i].again, seen[i].st);
        if (!strstr(seen[i].err.text, text)) { fail_msg("rank %zu: %s", i, seen[i].err.text); }
    }
}
