/*
 * A run as TensorBoard reads it. What is promised:
 *   - records are whole, with the CRCs of TensorFlow's reader;
 *   - the scalars are those of metrics.csv, as 32-bit floats, at their steps;
 *   - the recipe, sample answers and what people try stand in it;
 *   - of a run that was killed and resumed the same remains as of an uninterrupted one, once what
 *     came after the step from which a session went on is dropped, as TensorBoard does it;
 *   - --overwrite removes them; without output.log: tensorboard there are none;
 *   - whichever allocation or call fails is reported.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/events.h"
#include "recipes/run/record.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 512 };

/* What the files of a run hold. */
struct scalar {
    char tag[40];
    size_t step;
    float value;
};
struct seen {
    struct scalar at[MOST];
    size_t n;
    size_t recipes, samples, hparams, starts, files;
    char recipe[8192];
    char tried[4096]; // the message that holds the hyperparameters, its zero bytes as blanks
};

/* A message: the bytes that are left. */
struct message {
    const unsigned char *at;
    size_t n;
};

static uint64_t little(const unsigned char *at, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;) {
        v = v << 8 | at[i];
    }
    return v;
}

static uint64_t varint(struct message *m)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(m->n > 0 && shift < 64);
        unsigned char byte = *m->at++;
        m->n--;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) { return v; }
    }
}

/* The next field: its number, a number or bytes. 0: there is none. */
static unsigned next(struct message *m, uint64_t *v, struct message *bytes)
{
    if (!m->n) { return 0; }
    uint64_t key = varint(m);
    size_t n = 0;
    switch (key & 7U) {
    case 0:
        *v = varint(m);
        break;
    case 2:
        n = (size_t)varint(m);
        *bytes = (struct message){m->at, n};
        break;
    default:
        n = (key & 7U) == 1 ? 8 : 4;
        assert_true((key & 7U) == 1 || (key & 7U) == 5);
        assert_true(n <= m->n);
        *v = little(m->at, n);
    }
    assert_true(n <= m->n);
    m->at += n;
    m->n -= n;
    return (unsigned)(key >> 3);
}

static void read_value(struct seen *s, size_t step, struct message value)
{
    struct scalar x = {.step = step};
    struct message bytes = {0};
    struct message tensor = {0};
    uint64_t v = 0;
    struct message metadata = {0};
    bool is_scalar = false;
    for (unsigned field; (field = next(&value, &v, &bytes));) {
        if (field == 1) { (void)snprintf(x.tag, sizeof x.tag, "%.*s", (int)bytes.n, bytes.at); }
        if (field == 2) {
            uint32_t bits = (uint32_t)v;
            memcpy(&x.value, &bits, sizeof bits);
            is_scalar = true;
        }
        if (field == 8) { tensor = bytes; }
        if (field == 9) { metadata = bytes; }
    }
    if (is_scalar) {
        assert_true(s->n < MOST);
        s->at[s->n++] = x;
    }
    s->samples += strncmp(x.tag, "sample ", 7) == 0;
    if (strcmp(x.tag, "_hparams_/session_start_info") == 0) {
        s->hparams++;
        assert_true(metadata.n < sizeof s->tried);
        for (size_t i = 0; i < metadata.n; i++) {
            s->tried[i] = metadata.at[i] ? (char)metadata.at[i] : ' ';
        }
    }
    if (strcmp(x.tag, "recipe") != 0) { return; }
    s->recipes++;
    for (unsigned field; (field = next(&tensor, &v, &bytes));) {
        if (field != 8) { continue; }
        (void)snprintf(s->recipe, sizeof s->recipe, "%.*s", (int)bytes.n, bytes.at);
    }
}

/* A session that goes on from `step` is the one that counts from there on. */
static void start(struct seen *s, size_t step)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->at[i].step < step) { s->at[n++] = s->at[i]; }
    }
    s->n = n;
    s->starts++;
}

static void read_event(struct seen *s, struct message event)
{
    struct message bytes = {0};
    uint64_t v = 0;
    uint64_t step = 0;
    for (unsigned field; (field = next(&event, &v, &bytes));) {
        if (field == 2) { step = v; }
        if (field == 3) { assert_memory_equal(bytes.at, "brain.Event:2", 13); }
        if (field == 7) { start(s, (size_t)step); }
        if (field != 5) { continue; }
        struct message value = {0};
        while (next(&bytes, &v, &value)) {
            read_value(s, (size_t)step, value);
        }
    }
}

/* All files of the run, in their order, each record with its CRCs. */
static void read_run(struct seen *s, const char *out)
{
    char **names = NULL;
    *s = (struct seen){0};
    assert_int_equal(lorac_dir_list(&names, tiny_path(out), NULL), LORAC_OK);
    for (size_t i = 0; names[i]; i++) {
        size_t n = 0;
        if (!strstr(names[i], "tfevents")) { continue; }
        s->files++;
        char *bytes = tiny_read_in(tiny_path(out), names[i], &n);
        const unsigned char *at = (const unsigned char *)bytes;
        for (size_t k = 0; k < n;) {
            assert_true(n - k >= 16);
            size_t length = (size_t)little(at + k, 8);
            assert_int_equal(little(at + k + 8, 4), lorac_crc32c_masked(at + k, 8));
            assert_true(length <= n - k - 16);
            assert_int_equal(little(at + k + 12 + length, 4),
                             lorac_crc32c_masked(at + k + 12, length));
            read_event(s, (struct message){at + k + 12, length});
            k += 16 + length;
        }
        lorac_mem_free(bytes);
    }
    lorac_mem_free(names);
}

static float find(const struct seen *s, const char *split, const char *name, size_t step)
{
    char tag[40];
    const struct scalar *found = NULL;
    (void)snprintf(tag, sizeof tag, "%s/%s", split, name);
    for (size_t i = 0; i < s->n; i++) {
        if (s->at[i].step != step || strcmp(s->at[i].tag, tag) != 0) { continue; }
        assert_null(found); // once
        found = &s->at[i];
    }
    return found ? found->value : NAN;
}

/* Every number of metrics.csv, at its step, and no others. Seconds have four digits there. */
static void same_as_metrics(const struct seen *s, const char *out)
{
    struct lorac_record *r = NULL;
    size_t numbers = 0;
    assert_int_equal(lorac_record_open(&r, tiny_path(out), NULL), LORAC_OK);
    assert_true(r->n_lines > RUNS_STEPS);
    for (size_t i = 0; i < r->n_lines; i++) {
        const struct lorac_record_line *x = &r->lines[i];
        const char *split = x->is_valid ? "valid" : "train";
        double perplexity = exp(x->metric[LORAC_METRIC_LOSS]);
        assert_true(fabs(x->metric[LORAC_METRIC_PERPLEXITY] - perplexity) <= 1e-7 * perplexity);
        const struct {
            const char *name;
            double value, off;
        } all[] = {{"epoch", x->epoch, 1e-4},
                   {"loss", x->metric[LORAC_METRIC_LOSS], 0.0},
                   {"perplexity", x->metric[LORAC_METRIC_PERPLEXITY], 0.0},
                   {"accuracy", x->metric[LORAC_METRIC_ACCURACY], 0.0},
                   {"macro_f1", x->metric[LORAC_METRIC_MACRO_F1], 0.0},
                   {"exact_match", x->metric[LORAC_METRIC_EXACT_MATCH], 0.0},
                   {"bits_per_byte", x->bits_per_byte, 0.0},
                   {"lr", x->lr, 0.0},
                   {"grad_norm", x->grad_norm, 0.0},
                   {"tokens", (double)x->tokens, 0.0},
                   {"trained", (double)x->trained, 0.0},
                   {"seconds", x->seconds, 1e-4}};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            double got = (double)find(s, split, all[k].name, x->step);
            double want = all[k].value;
            assert_int_equal(isnan(got), isnan(want));
            if (isnan(want)) { continue; }
            numbers++;
            assert_true(fabs(got - want) <= all[k].off + 1e-7 * fabs(want));
        }
    }
    assert_int_equal(s->n, numbers);
    lorac_record_close(r);
}

static void crcs_are_those_of_tensorflow(void **state)
{
    (void)state;
    assert_int_equal(lorac_crc32c("123456789", 9), 0xE3069283); // RFC 3720's check value
    assert_int_equal(lorac_crc32c("", 0), 0);
    // tensorboard.compat.tensorflow_stub.pywrap_tensorflow.masked_crc32c
    assert_int_equal(lorac_crc32c_masked("123456789", 9), 0xC78AB0E5);
    assert_int_equal(lorac_crc32c_masked("\x18\0\0\0\0\0\0\0", 8), 0x224B7FA3);
}

#define LOG "output.log=[csv, tensorboard]"

static void the_scalars_are_those_of_metrics(void **state)
{
    (void)state;
    static const char *const sets[] = {LOG, "eval.metrics=[loss, accuracy, exact_match]",
                                       "eval.samples=2", NULL};
    static struct seen s;
    (void)runs_well("tb", LORAC_RUN_NEW, NULL, sets);
    read_run(&s, "tb");
    assert_true(s.files == 1 && s.starts == 0 && s.recipes == 1 && s.hparams == 1);
    assert_int_equal(s.samples, 2 * 3); // evaluated after steps 4, 8 and 11
    same_as_metrics(&s, "tb");
    assert_non_null(strstr(s.recipe, "    adapter:\n      method: lora\n      rank: 4\n"));
    static const char *const none[] = {"output.log=[csv]", NULL};
    (void)runs_well("tb", LORAC_RUN_OVERWRITE, NULL, none);
    read_run(&s, "tb");
    assert_int_equal(s.files, 0);
}

/* Of a trial of a sweep the hyperparameters are what the sweep changes. */
static void what_people_try_stands_in_it(void **state)
{
    (void)state;
    static const char *const sets[] = {LOG, NULL};
    static struct seen s;
    (void)runs_well("alone", LORAC_RUN_NEW, NULL, sets);
    read_run(&s, "alone");
    assert_true(strstr(s.tried, "hparams") && strstr(s.tried, "adapter.rank"));
    assert_true(strstr(s.tried, "optimizer.lr") && !strstr(s.tried, "template.prompt"));
    assert_int_equal(lorac_dir_make(tiny_path("sw"), NULL), LORAC_OK);
    tiny_text("sw/sweep.json",
              "{\"strategy\": \"all\", \"objective\": {\"metric\": \"loss\"}, \"group_by\": [], "
              "\"trials\": [{\"name\": "
              "\"001\", \"changes\": {\"template.prompt\": \"x\", \"adapter.rank\": \"4\"}}]}");
    (void)runs_well("sw/001", LORAC_RUN_NEW, NULL, sets);
    read_run(&s, "sw/001");
    assert_true(strstr(s.tried, "adapter.rank") && strstr(s.tried, "template.prompt"));
    assert_null(strstr(s.tried, "optimizer.lr"));
    (void)runs_well("sw/other", LORAC_RUN_NEW, NULL, sets); // beside the trials
    read_run(&s, "sw/other");
    assert_non_null(strstr(s.tried, "optimizer.lr"));
}

static void move_state(const char *out, const char *from, const char *to)
{
    char path[2][64];
    (void)snprintf(path[0], sizeof path[0], "%s/%s", out, to);
    (void)snprintf(path[1], sizeof path[1], "%s/%s", out, from);
    assert_int_equal(lorac_file_copy(tiny_path(path[0]), tiny_path(path[1]), NULL), LORAC_OK);
}

static void stop_at(const char *out, enum lorac_run_mode mode, size_t step, const char *const *sets)
{
    struct runs_stop stop = {.at = step};
    struct lorac_run_watch watch = runs_stop_watch(&stop);
    (void)runs_well(out, mode, &watch, sets);
}

static void a_killed_and_resumed_run_reads_like_an_uninterrupted_one(void **state)
{
    (void)state;
    static const char *const sets[] = {LOG, "output.keep=[last]", NULL};
    static struct seen s;
    static struct seen whole;
    (void)runs_well("whole", LORAC_RUN_NEW, NULL, sets);
    read_run(&whole, "whole");
    same_as_metrics(&whole, "whole");
    stop_at("killed", LORAC_RUN_NEW, 6, sets);
    move_state("killed", "state/state.safetensors", "saved");
    stop_at("killed", LORAC_RUN_RESUME, 9, sets); // ... and this session's state is lost
    move_state("killed", "saved", "state/state.safetensors");
    (void)runs_well("killed", LORAC_RUN_RESUME, NULL, sets);
    read_run(&s, "killed");
    assert_true(s.files == 3 && s.starts == 2);
    same_as_metrics(&s, "killed");
    assert_int_equal(s.n, whole.n);
    for (size_t i = 0; i < s.n; i++) {
        assert_string_equal(s.at[i].tag, whole.at[i].tag);
        assert_int_equal(s.at[i].step, whole.at[i].step);
        bool timed = strstr(s.at[i].tag, "/seconds") != NULL;
        assert_true(timed || s.at[i].value == whole.at[i].value);
    }
}

static struct lorac_recipe *recipe;

static enum lorac_status write_events(struct lorac_err *err)
{
    static const struct lorac_step step = {.step = 1, .loss = 2.0};
    static const struct lorac_scores scores = {.loss = 1.5, .rows = 3};
    static const struct lorac_run_eval eval = {1, &scores, true};
    static const struct lorac_run_sample sample = {"a", "b", "c\nd"};
    struct lorac_events e = {0};
    enum lorac_status st = lorac_dir_make(tiny_path("e"), err);
    if (!st) { st = lorac_events_begin(&e, tiny_path("e"), 0, recipe, err); }
    if (!st) { st = lorac_events_step(&e, &step, err); }
    if (!st) { st = lorac_events_eval(&e, 0.5, &eval, err); }
    if (!st) { st = lorac_events_sample(&e, 1, 0, &sample, err); }
    lorac_events_end(&e);
    if (!st) { st = lorac_events_remove(tiny_path("e"), err); }
    if (!st) { faults_say("written"); }
    enum lorac_status gone = lorac_dir_remove(tiny_path("e"), st ? NULL : err);
    return st ? st : gone;
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {{.name = "events", .go = write_events, .step = 7}};
    recipe = runs_recipe(tiny_path("e"), NULL);
    faults_meet(all, 1);
    lorac_recipe_free(recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crcs_are_those_of_tensorflow),
        cmocka_unit_test(the_scalars_are_those_of_metrics),
        cmocka_unit_test(what_people_try_stands_in_it),
        cmocka_unit_test(a_killed_and_resumed_run_reads_like_an_uninterrupted_one),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests_name("events", tests, runs_make, runs_remove);
}
