/*
 * The cache of keys and values. What is promised: several sequences of one batch go into their
 * rows at once, in any order, beside others that are not kept; each is then continued as if it had
 * been alone, also where it is kept in pieces here and there.
 */
#include "tests/support/backends.h"
#include "tests/support/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 16 }; // of a sequence

/* Score ids[from..n) as what follows the rows before them; the batch's first row is that of
 * ids[first]. */
static void score(struct lorac_batch *b, size_t row, const int32_t *ids, size_t first, size_t n)
{
    for (size_t t = first; t + 1 < n; t++) {
        lorac_batch_score(b, row + t - first, ids[t + 1]);
    }
}

static void sequences_of_one_batch_are_kept_each_in_its_place(void **state)
{
    static const size_t orders[][3] = {{0, 1, 2}, {2, 0, 1}, {1, 2, 0}};
    for (size_t i = 0; golden_cases[i]; i++) {
        struct passes p;
        struct lorac_cache *cache = NULL;
        passes_open_on(&p, golden_cases[i], *state);
        struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_NOTHING);
        const int32_t *ids = p.g.batch->ids + p.g.batch->segments[2].row;
        const size_t n = p.g.batch->segments[2].n;
        assert_true(n >= 6);
        const size_t kept[] = {n - 2, 1, 3}; // rows of each sequence that the first batch has
        assert_int_equal(lorac_cache_new(&cache, p.m, 3 * ROWS, NULL), LORAC_OK);
        for (size_t k = 0; k < 3; k++) {
            double want = 0.0;
            lorac_batch_clear(p.b);
            for (size_t s = 0; s < 3; s++) {
                const size_t slot = orders[k][s];
                (void)lorac_batch_add_cached(p.b, ids, kept[slot], -1, slot * ROWS, 0, true);
                if (s == 0) { (void)lorac_batch_add(p.b, ids, 2, -1); } // not kept
            }
            lorac_batch_want_logits(p.b, 0);
            (void)passes_run(pass, p.b, cache, false);
            lorac_batch_clear(p.b);
            for (size_t slot = 0; slot < 3; slot++) {
                const size_t row = p.b->N;
                (void)lorac_batch_add_cached(p.b, ids + kept[slot], n - kept[slot], -1, slot * ROWS,
                                             kept[slot], false);
                score(p.b, row, ids, kept[slot], n);
            }
            const double got = passes_run(pass, p.b, cache, false);
            for (size_t slot = 0; slot < 3; slot++) {
                lorac_batch_clear(p.b);
                (void)lorac_batch_add(p.b, ids, n, -1);
                score(p.b, kept[slot], ids, kept[slot], n);
                want += passes_run(pass, p.b, NULL, false);
            }
            if (!(got < want * (1 + 1e-5) && got > want * (1 - 1e-5))) {
                fail_msg("%s: loss %.9g, %.9g was expected", golden_cases[i], got, want);
            }
        }
        lorac_cache_free(cache);
        lorac_pass_free(pass);
        passes_close(&p);
    }
}

/* Three pieces far from each other: the first keeps more rows than the second goes on from. */
static void pieces_of_a_sequence_continue_each_other(void **state)
{
    for (size_t i = 0; golden_cases[i]; i++) {
        struct passes p;
        struct lorac_cache *cache = NULL;
        passes_open_on(&p, golden_cases[i], *state);
        struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_NOTHING);
        const int32_t *ids = p.g.batch->ids + p.g.batch->segments[2].row;
        const size_t n = p.g.batch->segments[2].n;
        assert_true(n >= 6);
        assert_int_equal(lorac_cache_new(&cache, p.m, 3 * ROWS, NULL), LORAC_OK);
        lorac_batch_clear(p.b);
        int32_t first = lorac_batch_add_cached(p.b, ids, n - 2, -1, 2 * ROWS, 0, true);
        lorac_batch_want_logits(p.b, 0);
        (void)passes_run(pass, p.b, cache, false);
        lorac_batch_clear(p.b);
        first = lorac_batch_add_cached(p.b, NULL, 0, -1, 2 * ROWS, 2, false);
        (void)lorac_batch_add_cached(p.b, ids + 2, 1, first, 3, 0, true);
        lorac_batch_want_logits(p.b, 0);
        (void)passes_run(pass, p.b, cache, false);
        lorac_batch_clear(p.b);
        first = lorac_batch_add_cached(p.b, NULL, 0, -1, 2 * ROWS, 2, false);
        int32_t last = lorac_batch_add_cached(p.b, NULL, 0, first, 3, 1, false);
        (void)lorac_batch_add(p.b, ids + 3, n - 3, last);
        score(p.b, 0, ids, 3, n);
        const double got = passes_run(pass, p.b, cache, false);
        lorac_batch_clear(p.b);
        (void)lorac_batch_add(p.b, ids, n, -1);
        score(p.b, 3, ids, 3, n);
        const double want = passes_run(pass, p.b, NULL, false);
        if (!(got < want * (1 + 1e-5) && got > want * (1 - 1e-5))) {
            fail_msg("%s: loss %.9g, %.9g was expected", golden_cases[i], got, want);
        }
        lorac_cache_free(cache);
        lorac_pass_free(pass);
        passes_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(sequences_of_one_batch_are_kept_each_in_its_place),
        ON_EACH(pieces_of_a_sequence_continue_each_other),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
