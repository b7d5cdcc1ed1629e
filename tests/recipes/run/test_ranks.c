/*
 * What ranks say to each other, here threads whose wire is memory; tests/tools/test_ranks.sh has
 * processes. What is promised:
 *   - what each gives is gathered by rank, sums go from rank 0 on, and all ranks get the same
 *     bytes; rows are divided, each to one rank;
 *   - the first failure is that of all, whatever each was about to do, in its words and naming its
 *     rank; so is each call after it. One that is elsewhere, or lost, is an error;
 *   - a value that differs is one, which names rank and host;
 *   - a world of one waits for nobody; each failed allocation is reported.
 */
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"
#include "tests/support/world.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 13, LONG = 300001 };

/* ---- what goes between them ---- */

/* Of rank i the numbers that make float sums depend on their order. */
static float value(size_t rank, size_t k)
{
    return (float)((double)(k % 97) * 1e-3 +
                   (rank % 2 ? -1.0 : 1.0) * 1e6 * (double)(rank / 2 + 1));
}

static enum lorac_status add_long(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    s->n_x = LONG;
    s->x = malloc(LONG * sizeof *s->x);
    for (size_t k = 0; k < LONG; k++) {
        s->x[k] = value(s->rank, k);
    }
    return lorac_ranks_sum(s->x, LONG, r, LORAC_OK, err);
}

static void a_sum_is_from_rank_0_on_and_the_same_on_all(void **state)
{
    struct seen seen[WORLD_MOST];
    (void)state;
    for (size_t n = 1; n <= WORLD_MOST; n++) {
        world_live(seen, n, 0, add_long, NULL);
        world_well(seen, n);
        for (size_t k = 0; k < LONG; k++) {
            double sum = 0.0;
            for (size_t i = 0; i < n; i++) {
                sum += (double)value(i, k);
            }
            if (seen[0].x[k] != (float)sum) { fail_msg("%zu ranks, number %zu", n, k); }
        }
        for (size_t i = 1; i < n; i++) {
            assert_memory_equal(seen[i].x, seen[0].x, LONG * sizeof *seen[0].x);
        }
        world_forget(seen, n);
    }
}

/* Rank i gives i words; and a number. */
static enum lorac_status give(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    char own[40] = "";
    double sum[] = {(double)s->rank + 1.0, 0.5};
    uint64_t word = 40 + s->rank;
    for (size_t i = 0; i < s->rank; i++) {
        (void)snprintf(own + 2 * i, sizeof own - 2 * i, "%zu,", s->rank);
    }
    enum lorac_status st = lorac_ranks_gather(&s->all, r, own, strlen(own), LORAC_OK, err);
    st = lorac_ranks_broadcast(&word, sizeof word, r, st, err);
    st = lorac_ranks_add(sum, 2, r, st, err);
    s->loss = sum[0] + sum[1] / 1000.0 + (double)word;
    return st;
}

static void what_each_gives_is_gathered_by_rank(void **state)
{
    struct seen seen[WORLD_MOST];
    (void)state;
    world_live(seen, WORLD_MOST, 0, give, NULL);
    world_well(seen, WORLD_MOST);
    for (size_t i = 0; i < WORLD_MOST; i++) {
        assert_string_equal(seen[i].all.at, "1,2,2,3,3,3,");
        assert_true(seen[i].loss == 10.0 + 2.0 / 1000.0 + 40.0);
    }
    world_forget(seen, WORLD_MOST);
}

static enum lorac_status divide(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    size_t from = 0;
    size_t end = 0;
    char own[ROWS] = "";
    lorac_ranks_rows(&from, &end, r, ROWS);
    for (size_t i = from; i < end; i++) {
        own[i - from] = (char)('a' + i);
    }
    return lorac_ranks_gather(&s->all, r, own, end - from, LORAC_OK, err);
}

static void rows_are_divided(void **state)
{
    struct seen seen[WORLD_MOST];
    (void)state;
    for (size_t n = 1; n <= WORLD_MOST; n++) {
        world_live(seen, n, 0, divide, NULL);
        world_well(seen, n);
        assert_string_equal(seen[0].all.at, "abcdefghijklm");
        world_forget(seen, n);
    }
}

/* ---- failures ---- */

/* Rank 2 fails while the others wait in a sum. */
static enum lorac_status fail_early(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    float x[] = {1.0F};
    if (s->rank == 2) { return lorac_fail(err, LORAC_EIO, "the disk is full"); }
    return lorac_ranks_sum(x, 1, r, LORAC_OK, err);
}

static enum lorac_status fail_inside(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    enum lorac_status st = s->rank ? lorac_fail(err, LORAC_EFORMAT, "no table") : LORAC_OK;
    st = lorac_ranks_gather(&s->all, r, "x", 1, st, err);
    return st;
}

static enum lorac_status be_elsewhere(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    float x[] = {1.0F};
    return s->rank == 1 ? lorac_ranks_agree(r, LORAC_OK, err)
                        : lorac_ranks_sum(x, 1, r, LORAC_OK, err);
}

static void the_first_failure_is_that_of_all(void **state)
{
    struct seen seen[WORLD_MOST];
    (void)state;
    world_live(seen, 3, 0, fail_early, NULL);
    world_failed(seen, 3, ": the disk is full");
    world_failed(seen, 3, "rank 2 on ");
    world_forget(seen, 3);
    world_live(seen, 3, 0, fail_inside, NULL);
    world_failed(seen, 3, ": no table");
    world_failed(seen, 3, "rank 1 on ");
    assert_string_equal(seen[0].all.at, "xxx"); // all were there
    world_forget(seen, 3);
}

static void who_is_elsewhere_or_lost_is_an_error(void **state)
{
    struct seen seen[WORLD_MOST];
    (void)state;
    world_live(seen, 3, 0, be_elsewhere, NULL);
    world_failed(seen, 3, "rank 1 on ");
    world_failed(seen, 3, "is not where rank 0 is");
    world_forget(seen, 3);
    for (size_t call = 1; call <= 5; call++) { // begin; header, exchange, gather, exchange of a sum
        world_live(seen, 2, call, add_long, NULL);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(seen[i].st, LORAC_EIO);
            assert_non_null(strstr(seen[i].err.text, call == 1 ? "cannot reach" : "are lost"));
        }
        world_forget(seen, 2);
    }
}

static enum lorac_status compare(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    static const char longer[] = "one that is longer than what ranks show each other as it is, and "
                                 "that differs at its end 0";
    char own[sizeof longer];
    memcpy(own, longer, sizeof own);
    enum lorac_status st = lorac_ranks_same(r, "thing", "as it is", LORAC_OK, err);
    if (s->with) {
        own[sizeof own - 2] = (char)(own[sizeof own - 2] + (s->rank == 2));
        return lorac_ranks_same(r, "text", own, st, err);
    }
    return lorac_ranks_same(r, "seed", s->rank == 1 ? "8" : "7", st, err);
}

static void what_differs_names_rank_and_host(void **state)
{
    struct seen seen[WORLD_MOST];
    (void)state;
    world_live(seen, 3, 0, compare, NULL);
    world_failed(seen, 3, "rank 1 on ");
    world_failed(seen, 3, "has another seed than rank 0 on ");
    world_failed(seen, 3, ": 8, not 7");
    world_forget(seen, 3);
    world_live(seen, 3, 0, compare, "text");
    world_failed(seen, 3, "has another text than rank 0 on ");
    world_forget(seen, 3);
}

/* ---- alone ---- */

static void a_world_of_one_waits_for_nobody(void **state)
{
    struct lorac_ranks *r = NULL;
    struct lorac_err err = {0};
    struct lorac_buf all = {0};
    float x[] = {3.0F};
    double y[] = {4.0};
    (void)state;
    assert_int_equal(unsetenv("OMPI_COMM_WORLD_SIZE"), 0);
    assert_int_equal(lorac_ranks_begin(&r, &err), LORAC_OK);
    assert_null(r);
    assert_int_equal(lorac_ranks_count(r), 1);
    assert_int_equal(lorac_ranks_here(r), 1);
    assert_int_equal(lorac_ranks_sum(x, 1, r, LORAC_OK, &err), LORAC_OK);
    assert_int_equal(lorac_ranks_add(y, 1, r, LORAC_OK, &err), LORAC_OK);
    assert_true(x[0] == 3.0F && y[0] == 4.0);
    assert_int_equal(lorac_ranks_gather(&all, r, "abc", 3, LORAC_OK, &err), LORAC_OK);
    assert_string_equal(all.at, "abc");
    assert_int_equal(lorac_ranks_agree(r, LORAC_EIO, &err), LORAC_EIO);
    assert_int_equal(lorac_ranks_end(r, LORAC_OK, &err), LORAC_OK);
    lorac_buf_free(&all);
}

static enum lorac_status talk(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    enum lorac_status st = give(s, r, err);
    return st ? st : compare(s, r, err);
}

static void every_failed_allocation_is_reported(void **state)
{
    long n = 0;
    (void)state;
    for (bool met = true; met; n++) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = world_alone(talk, NULL, &err);
        met = faults_stop();
        if (met && st != LORAC_ENOMEM) { fail_msg("%ld: %d %s", n, st, err.text); }
        if (!met && st) { fail_msg("%s", err.text); }
    }
    assert_in_range(n, 10, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_is_from_rank_0_on_and_the_same_on_all),
        cmocka_unit_test(what_each_gives_is_gathered_by_rank),
        cmocka_unit_test(rows_are_divided),
        cmocka_unit_test(the_first_failure_is_that_of_all),
        cmocka_unit_test(who_is_elsewhere_or_lost_is_an_error),
        cmocka_unit_test(what_differs_names_rank_and_host),
        cmocka_unit_test(a_world_of_one_waits_for_nobody),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
