/*
 * What may go on, and what may not. What is promised:
 *   - a state that is gone is not taken for a run that saved nothing: best/ and last/ stay as they
 *     are;
 *   - a best/ that is gone, emptied, or another run's is refused; one that a kill left half changed
 *     is put right;
 *   - what has moved or has another name goes on where its content is the same;
 *   - what changes no number may change: the run ends as without;
 *   - more epochs or steps go on exactly where the learning rate does not hang on the length, and
 *     are otherwise refused with the way that there is; so are fewer than are done;
 *   - the time of a run is that of all its sessions.
 */
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Going on with the run fails with a message that holds this text. */
static void refused(const char *out, const char *const *sets, const char *want)
{
    runs_refused(out, LORAC_RUN_RESUME, sets, want, true);
}

static void stopped(const char *out, size_t at, const char *const *sets)
{
    struct runs_stop s = {.at = at};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    struct lorac_run_result r = runs_well(out, LORAC_RUN_OVERWRITE, &watch, sets);
    assert_true(r.end == LORAC_RUN_STOPPED && r.step == at);
}

static void move(const char *from, const char *to)
{
    char was[300]; // tiny_path() has one buffer for all
    (void)snprintf(was, sizeof was, "%s", tiny_path(from));
    assert_int_equal(rename(was, tiny_path(to)), 0);
}

static void copy_folder(const char *from, const char *to)
{
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    assert_int_equal(lorac_dir_make(tiny_path(to), NULL), LORAC_OK);
    for (size_t i = 0; i < 2; i++) {
        char name[2][300];
        size_t n = 0;
        (void)snprintf(name[0], sizeof name[0], "%s/%s", from, files[i]);
        (void)snprintf(name[1], sizeof name[1], "%s/%s", to, files[i]);
        char *text = tiny_read(tiny_path(name[0]), &n);
        assert_int_equal(lorac_file_write(tiny_path(name[1]), text, n, NULL), LORAC_OK);
        lorac_mem_free(text);
    }
}

static void remove_folder(const char *name)
{
    assert_int_equal(lorac_dir_remove(tiny_path(name), NULL), LORAC_OK);
}

/* Both folders hold the same bytes under this name. */
static void same_file(const char *a, const char *b, const char *name)
{
    char path[300];
    size_t n[2];
    (void)snprintf(path, sizeof path, "%s/%s", a, name);
    char *one = tiny_read(tiny_path(path), &n[0]);
    (void)snprintf(path, sizeof path, "%s/%s", b, name);
    char *other = tiny_read(tiny_path(path), &n[1]);
    if (n[0] != n[1] || memcmp(one, other, n[0]) != 0) { fail_msg("%s: %s, %s", name, a, b); }
    lorac_mem_free(one);
    lorac_mem_free(other);
}

/* ---- what is gone ---- */

static void a_state_that_is_gone_is_not_taken_for_a_run_that_saved_nothing(void **state)
{
    (void)state;
    static const char *const keeps[][2] = {{"output.keep=[best, last]"}, {"output.keep=[last]"}};
    for (size_t i = 0; i < 2; i++) {
        stopped("a", 6, keeps[i]);
        tiny_edit("a/run.json", "\"stopped\"", "\"running\""); // as if killed
        remove_folder("a/state");
        copy_folder("a/last", "kept");
        refused("a", keeps[i],
                "DIR/a/state/state.safetensors: is missing, but the run had done steps and saved "
                "them; put it back, or start anew with --overwrite");
        same_file("a", "a",
                  i ? "last/adapter_model.safetensors" : "best/adapter_model.safetensors");
        same_file("kept", "a/last", "adapter_model.safetensors");
        remove_folder("kept");
    }
    // a line of metrics.csv is a step done, too
    static const char *const early[] = {"eval.every=end", "output.save_every=end", NULL};
    stopped("a", 2, early);
    tiny_edit("a/run.json", "\"stopped\"", "\"failed\"");
    remove_folder("a/state");
    remove_folder("a/last");
    refused("a", early, "DIR/a/state/state.safetensors: is missing");
}

static void a_run_killed_before_its_first_step_begins_anew(void **state)
{
    (void)state;
    stopped("b", 1, NULL);
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, NULL);
    tiny_edit("b/run.json", "\"stopped\"", "\"running\"");
    remove_folder("b/state");
    remove_folder("b/last");
    assert_int_equal(lorac_file_remove(tiny_path("b/metrics.csv"), NULL), LORAC_OK);
    runs_well("b", LORAC_RUN_RESUME, NULL, NULL);
    runs_same("whole", "b");
}

static void a_best_that_is_not_this_runs_is_refused(void **state)
{
    (void)state;
    static const char *const other[] = {"seed=99", NULL};
    runs_well("other", LORAC_RUN_OVERWRITE, NULL, other);
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, NULL);
    for (int finished = 0; finished < 2; finished++) {
        if (finished) {
            runs_well("c", LORAC_RUN_OVERWRITE, NULL, NULL);
        } else {
            stopped("c", 5, NULL);
        }
        move("c/best", "aside");
        refused("c", NULL, "DIR/c/best: is missing: ");
        refused("c", NULL, "put it back, or start anew with --overwrite");
        assert_int_equal(lorac_dir_make(tiny_path("c/best"), NULL), LORAC_OK);
        refused("c", NULL, "DIR/c/best: is missing adapter_model.safetensors: ");
        copy_folder("other/best", "c/best");
        refused("c", NULL, "DIR/c/best: is not the adapter that this run saved at step ");
        remove_folder("c/best");
        move("aside", "c/best");
        runs_well("c", LORAC_RUN_RESUME, NULL, NULL);
        runs_same("whole", "c");
    }
    static const char *const last[] = {"output.keep=[last]", NULL}; // nobody asked for a best/
    stopped("c", 5, last);
    runs_well("c", LORAC_RUN_RESUME, NULL, last);
}

/* A kill between the state and the change of best/ leaves the new one beside it. */
static void a_best_that_a_kill_left_beside_is_put_in_place(void **state)
{
    (void)state;
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, NULL);
    stopped("d", 4, NULL); // evaluated at 4
    move("d/best", "d/best.new");
    runs_well("d", LORAC_RUN_RESUME, NULL, NULL);
    runs_same("whole", "d");
    stopped("d", 4, NULL);
    copy_folder("whole/last", "d/best.new"); // of an evaluation that the state does not know
    runs_well("d", LORAC_RUN_RESUME, NULL, NULL);
    runs_same("whole", "d");
    assert_false(lorac_path_exists(tiny_path("d/best.new")));
}

static void a_last_that_is_gone_is_written_again(void **state)
{
    (void)state;
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, NULL);
    runs_well("e", LORAC_RUN_OVERWRITE, NULL, NULL);
    remove_folder("e/last");
    runs_well("e", LORAC_RUN_RESUME, NULL, NULL);
    runs_same("whole", "e");
}

/* ---- what is the same ---- */

static void what_has_moved_goes_on_where_its_content_is_the_same(void **state)
{
    (void)state;
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, NULL);
    stopped("f", 5, NULL);
    move("f", "g");
    move("model", "base");
    move("train.csv", "rows.csv");
    move("valid.csv", "checks.csv");
    static const char *const moved[] = {"name=renamed", "model.path=base", "data.train=rows.csv",
                                        "data.valid=checks.csv", NULL};
    char sets[3][300];
    const char *all[5] = {"name=renamed"};
    for (size_t i = 1; i < 4; i++) { // options are relative to where the program stands
        const char *equals = strchr(moved[i], '=');
        (void)snprintf(sets[i - 1], sizeof sets[0], "%.*s=%s", (int)(equals - moved[i]), moved[i],
                       tiny_path(equals + 1));
        all[i] = sets[i - 1];
    }
    runs_well("g", LORAC_RUN_RESUME, NULL, all);
    same_file("whole", "g", "last/adapter_model.safetensors");
    same_file("whole", "g", "best/adapter_model.safetensors");
    same_file("whole", "g", "state/state.safetensors");
    move("base", "model");
    move("rows.csv", "train.csv");
    move("checks.csv", "valid.csv");
    // the same key with another content is still another run
    const char *other[] = {sets[0], NULL};
    (void)snprintf(sets[0], sizeof sets[0], "data.train=%s", tiny_path("valid.csv"));
    refused("g", other, "valid.csv: has changed since the run began");
    (void)snprintf(sets[0], sizeof sets[0], "data.train=[%s, %s]", "a.csv", "b.csv");
    static const char *const split[] = {"data.valid={split: 0.2}", NULL};
    refused("g", split, "data.valid: ");
    static const char *const none[] = {"-data.valid", NULL};
    refused("g", none, "data.valid: ");
    remove_folder("g");
}

static void an_adapter_to_start_from_may_move(void **state)
{
    (void)state;
    char from[2][300];
    (void)snprintf(from[0], sizeof from[0], "adapter.from=%s", tiny_path("source/best"));
    (void)snprintf(from[1], sizeof from[1], "adapter.from=%s", tiny_path("moved"));
    const char *const sets[] = {from[0], "-adapter.rank", "-adapter.alpha", NULL};
    const char *const moved[] = {from[1], "-adapter.rank", "-adapter.alpha", NULL};
    runs_well("source", LORAC_RUN_OVERWRITE, NULL, NULL);
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, sets);
    stopped("h", 5, sets);
    move("source/best", "moved");
    runs_well("h", LORAC_RUN_RESUME, NULL, moved);
    runs_same("whole", "h");
    refused("h", NULL, "adapter.from: ");
}

static void what_changes_no_number_may_change(void **state)
{
    (void)state;
    static const char *const plain[] = {"train.watchdog.loss_above=1000", NULL};
    static const char *const sets[] = {"output.save_every=1 steps",
                                       "output.log=[csv]",
                                       "eval.samples=1",
                                       "data.test=valid.csv",
                                       "train.watchdog.loss_above=2000",
                                       "train.watchdog.patience=2",
                                       "train.keep_activations=layers",
                                       "output.merge=true",
                                       "train.threads=2",
                                       NULL};
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, plain);
    stopped("i", 5, plain);
    runs_well("i", LORAC_RUN_RESUME, NULL, sets);
    runs_same("whole", "i");
}

/* ---- longer ---- */

#define LONG                                                                   \
    "optimizer.schedule=constant", "optimizer.warmup=2", "train.accumulate=1", \
        "eval.every=7 steps", "output.save_every=7 steps"

static void more_epochs_go_on_exactly_where_the_rate_allows_it(void **state)
{
    (void)state;
    static const char *const one[] = {LONG, "train.epochs=1", NULL};
    static const char *const three[] = {LONG, "train.epochs=3", NULL};
    static const char *const steps[] = {LONG, "-train.epochs", "train.steps=21", NULL};
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, three);
    runs_well("j", LORAC_RUN_OVERWRITE, NULL, one); // finished, then longer
    struct lorac_run_result r = runs_well("j", LORAC_RUN_RESUME, NULL, three);
    assert_true(r.end == LORAC_RUN_DONE && r.step == 21);
    runs_same("whole", "j");
    runs_well("j", LORAC_RUN_OVERWRITE, NULL, one);
    runs_well("j", LORAC_RUN_RESUME, NULL, steps);
    runs_same("whole", "j");
    stopped("j", 10, three); // stopped, then shorter
    static const char *const two[] = {LONG, "train.epochs=2", NULL};
    r = runs_well("j", LORAC_RUN_RESUME, NULL, two);
    assert_true(r.end == LORAC_RUN_DONE && r.step == 14);
    r = runs_well("j", LORAC_RUN_RESUME, NULL, three); // and as long as before
    runs_same("whole", "j");
    refused("j", one, "DIR/j: train.epochs: 3 -> 1: the run has done 21 steps, and would have 7");
}

static void other_lengths_are_refused_with_the_way_that_there_is(void **state)
{
    (void)state;
    static const char *const cosine[] = {"train.epochs=5", NULL};
    runs_well("k", LORAC_RUN_OVERWRITE, NULL, NULL);
    refused("k", cosine,
            "DIR/k: train.epochs: 3 -> 5: the steps that are done had the learning rates of a run "
            "of 11 steps (optimizer.schedule: cosine); to train on, begin another run from this "
            "one's adapter: --unset adapter --set adapter.from=");
    refused("k", cosine, "/k/last --set adapter.dropout=0.1 --set output.dir=");
    static const char *const share[] = {"optimizer.schedule=constant", "optimizer.warmup=10%",
                                        NULL};
    static const char *const longer[] = {"optimizer.schedule=constant", "optimizer.warmup=10%",
                                         "train.epochs=5", NULL};
    runs_well("k", LORAC_RUN_OVERWRITE, NULL, share);
    refused("k", longer, "(optimizer.warmup: 10%); to train on, begin another run");
    // 7 micro-batches an epoch, 2 a step: the last step of 3 epochs was a smaller one
    static const char *const odd[] = {"optimizer.schedule=constant", NULL};
    static const char *const odd_more[] = {"optimizer.schedule=constant", "train.epochs=4", NULL};
    runs_well("k", LORAC_RUN_OVERWRITE, NULL, odd);
    refused(
        "k", odd_more,
        "train.epochs: 3 -> 4: its last step was a smaller one (train.accumulate); to train on");
#define EARLY                                                                                    \
    LONG, "eval.every=1 steps", "eval.early_stop.metric=accuracy", "eval.early_stop.patience=2", \
        "optimizer.lr=2"
    static const char *const early[] = {EARLY, NULL};
    static const char *const early_more[] = {EARLY, "train.epochs=9", NULL};
    struct lorac_run_result r = runs_well("k", LORAC_RUN_OVERWRITE, NULL, early);
    assert_int_equal(r.end, LORAC_RUN_EARLY);
    refused("k", early_more, "train.epochs: 3 -> 9: the run had stopped early; to train on");
    // with something else that changes it is another recipe
    static const char *const both[] = {LONG, "train.epochs=9", "seed=5", NULL};
    refused("k", both, "the recipe has changed since the run began: ");
}

/* ---- time ---- */

static void slow_step(void *self, const struct lorac_step *s)
{
    (void)s;
    double *begin = self;
    while (lorac_clock() - *begin < 0.3) {} // this session takes 0.3 s at the least
}

static void expect_seconds(const char *out, double least)
{
    char name[100];
    size_t n = 0;
    (void)snprintf(name, sizeof name, "%s/run.json", out);
    char *text = tiny_read(tiny_path(name), &n);
    const char *at = strstr(text, "\"seconds\": ");
    assert_non_null(at);
    assert_true(strtod(at + strlen("\"seconds\": "), NULL) >= least);
    lorac_mem_free(text);
}

static void the_time_of_a_run_is_that_of_all_its_sessions(void **state)
{
    (void)state;
    double begin = lorac_clock();
    struct lorac_run_watch slow = {.self = &begin, .step = slow_step};
    static const char *const one[] = {LONG, "train.epochs=1", NULL};
    static const char *const two[] = {LONG, "train.epochs=2", NULL};
    runs_well("l", LORAC_RUN_OVERWRITE, &slow, one);
    char *text = tiny_read(tiny_path("l/run.json"), &(size_t){0});
    char started[64] = "";
    (void)snprintf(started, sizeof started, "%.33s", strstr(text, "\"started\": "));
    lorac_mem_free(text);
    begin = lorac_clock();
    struct lorac_run_result r = runs_well("l", LORAC_RUN_RESUME, &slow, two);
    assert_true(r.seconds >= 0.6);
    expect_seconds("l", 0.6);
    r = runs_well("l", LORAC_RUN_RESUME, NULL, two); // nothing is left to do: a moment more
    assert_true(r.seconds >= 0.6);
    // killed: what metrics.csv counts
    tiny_edit("l/metrics.csv", "seconds\n", "seconds\n0,0,train,1,1,,,,,1,1,1,1,700.5\n");
    r = runs_well("l", LORAC_RUN_RESUME, NULL, two);
    assert_true(r.seconds >= 700.5);
    text = tiny_read(tiny_path("l/run.json"), &(size_t){0});
    assert_non_null(strstr(text, started)); // of the first session
    lorac_mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_that_is_gone_is_not_taken_for_a_run_that_saved_nothing),
        cmocka_unit_test(a_run_killed_before_its_first_step_begins_anew),
        cmocka_unit_test(a_best_that_is_not_this_runs_is_refused),
        cmocka_unit_test(a_best_that_a_kill_left_beside_is_put_in_place),
        cmocka_unit_test(a_last_that_is_gone_is_written_again),
        cmocka_unit_test(what_has_moved_goes_on_where_its_content_is_the_same),
        cmocka_unit_test(an_adapter_to_start_from_may_move),
        cmocka_unit_test(what_changes_no_number_may_change),
        cmocka_unit_test(more_epochs_go_on_exactly_where_the_rate_allows_it),
        cmocka_unit_test(other_lengths_are_refused_with_the_way_that_there_is),
        cmocka_unit_test(the_time_of_a_run_is_that_of_all_its_sessions),
    };
    return cmocka_run_group_tests(tests, runs_make, runs_remove);
}
