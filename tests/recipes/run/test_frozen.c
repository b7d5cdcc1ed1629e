/*
 * Frozen layers that run once a row (train.cache_frozen_prefix). What is promised:
 *   - three epochs with kept rows are those without: with ref bit by bit, else but for rounding;
 *     in memory or in a file, rows alone or behind a beginning that they share, with dropout;
 *   - no step runs a frozen layer any more, and all rows of the table ran once;
 *   - what is kept does not depend on where a run was stopped: a resumed one ends with the bytes of
 *     one that was not, in any case; one that goes on without is told that last bits differ;
 *   - nothing is kept where nothing is gained or there is no room; where it is asked for by name,
 *     that is an error that says why; a disk that is full is one with the way out;
 *   - rows in memory are left to the next trainer, and a file to nobody, nor in a run's folder; a
 *     stop while the layers run loses nothing;
 *   - each failure is reported.
 */
#include "base/core/file.h"
#include "recipes/run/frozen.h"
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <stdint.h>
#include <sys/resource.h>

enum { ROWS = 14, EPOCHS = 3, MAX_STEPS = 32 };

static struct lorac_tokenizer *tokenizer;
static struct lorac_table *table, *pairs; // of pairs, a row shares with one more than with others

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

static int open_all(void **state)
{
    static char text[1024];
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < ROWS; i++) { // of different lengths
        at += snprintf(text + at, sizeof text - (size_t)at, "%.*s%02d,%.*s\n", i * 5 % 17,
                       "abcdefghijklmnopq", i, 1 + i % 4, "wxyz");
    }
    tokenizer = open_bytes();
    table = open_text(text);
    pairs = open_text("text,label\naacd,x\naacd,y\naecd,z\naecd,w\n"
                      "bacd,x\nbacd,y\nbecd,z\nbecd,w\n");
    return runs_make(state);
}

static int close_all(void **state)
{
    lorac_table_close(table);
    lorac_table_close(pairs);
    lorac_tokenizer_free(tokenizer);
    return runs_remove(state);
}

/* ---- a trainer, its parts and what it did ---- */

struct how {
    const char *backend; // NULL: the default
    const char *prompt;  // NULL: rows that begin in nothing but BOS
    bool pairs;          // in their order, two of them a batch
    size_t layer;        // that is adapted
    double dropout;
    enum lorac_share share;
    enum lorac_recipe_cache cache;
    size_t memory;   // for kept rows
    const char *dir; // or a file
    size_t epochs, steps;
};
static const struct how plain = {.layer = 1, .memory = SIZE_MAX, .epochs = EPOCHS};

struct scene {
    struct lorac_device dev;
    struct lorac_model *model;
    struct lorac_dataset *rows;
    struct lorac_adapter *adapter;
    struct lorac_loader *loader;
    struct lorac_trainer_options o;
    struct lorac_trainer *t;
};

static enum lorac_status open_parts(struct scene *s, const struct how *how, struct lorac_err *err)
{
    static const char *const targets[] = {"q_proj", "down_proj"};
    const struct lorac_dataset_options data = {.prompt = how->prompt ? how->prompt : "{text}",
                                               .completion = " {label}",
                                               .append_eos = true,
                                               .max_length = 64};
    const struct lorac_adapter_options a = {.rank = 2,
                                            .alpha = 4.0,
                                            .targets = targets,
                                            .n_targets = 2,
                                            .layers = &how->layer,
                                            .n_layers = 1,
                                            .dropout = how->dropout,
                                            .seed = 5};
    const struct lorac_loader_options l = {.batch_size = how->pairs ? 4 : 5,
                                           .shuffle = !how->pairs,
                                           .seed = 3,
                                           .share_prefix = how->share};
    *s = (struct scene){0};
    enum lorac_status st = lorac_device_open(&s->dev, how->backend, 1, err);
    if (!st) { st = lorac_model_open(&s->model, &s->dev, tiny_path("model"), LORAC_FLOAT32, err); }
    if (!st) {
        st = lorac_dataset_open(&s->rows, how->pairs ? pairs : table, tokenizer, &data, err);
    }
    if (!st) { st = lorac_adapter_new(&s->adapter, s->model, &a, err); }
    if (!st) { st = lorac_loader_open(&s->loader, s->rows, &l, err); }
    if (st) { return st; }
    s->o = lorac_trainer_options_default();
    s->o.adapter = s->adapter;
    s->o.loader = s->loader;
    s->o.epochs = how->epochs;
    s->o.steps = how->steps;
    s->o.optim.lr = 0.01;
    s->o.cache_frozen_prefix = how->cache;
    s->o.frozen_bytes = how->memory;
    s->o.dir = how->dir;
    return LORAC_OK;
}

static enum lorac_status open_scene(struct scene *s, const struct how *how, struct lorac_err *err)
{
    enum lorac_status st = open_parts(s, how, err);
    return st ? st : lorac_trainer_open(&s->t, &s->o, err);
}

static void close_scene(struct scene *s)
{
    lorac_trainer_close(s->t);
    lorac_loader_close(s->loader);
    lorac_adapter_free(s->adapter);
    lorac_dataset_close(s->rows);
    lorac_model_close(s->model);
    lorac_device_close(&s->dev);
}

static void opened(struct scene *s, const struct how *how)
{
    struct lorac_err err = {0};
    check(open_scene(s, how, &err), &err);
}

static struct lorac_step step(struct scene *s)
{
    struct lorac_err err = {0};
    struct lorac_step out;
    check(lorac_trainer_step(&out, s->t, &err), &err);
    return out;
}

static float *take(struct scene *s)
{
    float *host = lorac_mem_new(s->adapter->n_params, sizeof *host);
    assert_non_null(host);
    s->dev.ops->read(&s->dev, host, s->adapter->params, s->adapter->n_params * sizeof *host);
    return host;
}

struct course {
    size_t n, params;
    double loss[MAX_STEPS], norm[MAX_STEPS];
    float *end;
};

static struct course train(const struct how *how, bool kept)
{
    struct course c = {0};
    struct scene s;
    opened(&s, how);
    assert_int_equal(lorac_trainer_frozen(s.t)->layers, kept ? 1 : 0);
    while (!lorac_trainer_done(s.t)) {
        struct lorac_step got = step(&s);
        assert_true(c.n < MAX_STEPS);
        c.loss[c.n] = got.loss;
        c.norm[c.n++] = got.grad_norm;
    }
    c.end = take(&s);
    c.params = s.adapter->n_params;
    close_scene(&s);
    return c;
}

static void near(double got, double want, double relative)
{
    if (fabs(got - want) > relative * fabs(want)) { fail_msg("%.9g, expected %.9g", got, want); }
}

/* ---- the same numbers ---- */

static const char long_prompt[] = "what do you say of this: {text}";

static void with_kept_rows(const char *backend, bool bits)
{
    static const struct {
        const char *prompt;
        enum lorac_share share;
        double dropout;
        bool pairs;
    } cases[] = {{NULL, LORAC_SHARE_OFF, 0.0, false},
                 {long_prompt, LORAC_SHARE_OFF, 0.25, false},
                 {long_prompt, LORAC_SHARE_AUTO, 0.0, false},
                 {NULL, LORAC_SHARE_ON, 0.0, false},
                 {NULL, LORAC_SHARE_ON, 0.0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct how how = plain;
        how.backend = backend;
        how.prompt = cases[i].prompt;
        how.share = cases[i].share;
        how.dropout = cases[i].dropout;
        how.pairs = cases[i].pairs;
        how.cache = LORAC_RECIPE_CACHE_OFF;
        struct course want = train(&how, false);
        assert_int_equal(want.n, EPOCHS * (how.pairs ? 2 : 3));
        for (int disk = 0; disk < 2; disk++) {
            how.cache = LORAC_RECIPE_CACHE_AUTO;
            how.memory = disk ? 0 : SIZE_MAX;
            how.dir = disk ? tiny_dir() : NULL;
            struct course got = train(&how, true);
            assert_int_equal(got.n, want.n);
            for (size_t k = 0; k < want.n && !bits;
                 k++) { // float32, and what it becomes in 9 steps
                near(got.loss[k], want.loss[k], k < 3 ? 1e-6 : 1e-5);
                near(got.norm[k], want.norm[k], k < 3 ? 1e-5 : 1e-3);
            }
            if (bits) {
                assert_memory_equal(got.loss, want.loss, sizeof want.loss);
                assert_memory_equal(got.norm, want.norm, sizeof want.norm);
                assert_memory_equal(got.end, want.end, want.params * sizeof *want.end);
            }
            lorac_mem_free(got.end);
        }
        lorac_mem_free(want.end);
    }
}

static void kept_rows_train_as_those_that_run(void **state)
{
    (void)state;
    with_kept_rows("ref", true);
    with_kept_rows(NULL, false);
}

static size_t n_embed, n_rows; // calls, and rows that they looked up

static void count_embed(struct lorac_device *dev, float *x, const int32_t *ids,
                        const struct lorac_weight *w, size_t N)
{
    n_embed++;
    n_rows += N;
    lorac_backend_ref.embed(dev, x, ids, w, N);
}

static void frozen_layers_run_once_a_row(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_backend counting = lorac_backend_ref;
    struct how how = plain;
    struct scene s;
    how.backend = "ref";
    how.cache = LORAC_RECIPE_CACHE_AUTO;
    opened(&s, &how);
    counting.embed = count_embed;
    s.dev.ops = &counting;
    n_embed = n_rows = 0;
    check(lorac_trainer_prepare(s.t, NULL, NULL, &err), &err);
    const struct lorac_data_counts *c = lorac_dataset_counts(s.rows);
    assert_true(n_rows > ROWS && n_rows <= c->tokens - c->used); // what they share, once a batch
    assert_int_equal(lorac_trainer_frozen(s.t)->rows, c->tokens - c->used - (ROWS - 1)); // BOS once
    n_embed = 0;
    check(lorac_trainer_prepare(s.t, NULL, NULL, &err), &err); // again: nothing
    while (!lorac_trainer_done(s.t)) {
        step(&s);
    }
    assert_int_equal(n_embed, 0);
    s.dev.ops = &lorac_backend_ref;
    close_scene(&s);
}

static void a_loaded_state_goes_on_with_the_same_bytes(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct how how = plain;
    struct scene a;
    struct scene b;
    how.cache = LORAC_RECIPE_CACHE_AUTO;
    opened(&a, &how);
    for (int i = 0; i < 4; i++) {
        step(&a);
    }
    check(lorac_trainer_save_state(a.t, tiny_path("state"), &err), &err);
    how.memory = 0; // the other goes on from a file
    how.dir = tiny_dir();
    opened(&b, &how);
    assert_true(lorac_trainer_frozen(b.t)->on_disk && !lorac_trainer_frozen(a.t)->on_disk);
    check(lorac_trainer_load_state(b.t, tiny_path("state"), &err), &err);
    while (!lorac_trainer_done(a.t)) {
        struct lorac_step x = step(&a);
        struct lorac_step y = step(&b);
        assert_memory_equal(&x.loss, &y.loss, sizeof x.loss);
    }
    float *x = take(&a);
    float *y = take(&b);
    assert_memory_equal(x, y, a.adapter->n_params * sizeof *x);
    lorac_mem_free(x);
    lorac_mem_free(y);
    close_scene(&a);
    close_scene(&b);
}

/* ---- where nothing is kept ---- */

static void refused(const struct how *how, enum lorac_status want, const char *text)
{
    struct lorac_err err = {0};
    struct scene s;
    assert_int_equal(open_scene(&s, how, &err), want);
    assert_string_equal(err.text, text);
    assert_null(s.t);
    close_scene(&s);
}

static void where_nothing_is_gained_nothing_is_kept(void **state)
{
    (void)state;
    struct how how = plain;
    how.cache = LORAC_RECIPE_CACHE_AUTO;
    how.layer = 0;
    lorac_mem_free(train(&how, false).end);
    how.cache = LORAC_RECIPE_CACHE_ON;
    refused(&how, LORAC_EUSER,
            "train.cache_frozen_prefix: on has no effect: the embedding or a module of layer 0 is "
            "adapted, so no layer is frozen; with adapter.layers: last:N all but the last N are");
    how.layer = 1;
    lorac_mem_free(train(&how, true).end);
    static const char once[] = "train.cache_frozen_prefix: on has no effect: no training row is "
                               "read twice (train.epochs, train.steps)";
    how.epochs = 1;
    refused(&how, LORAC_EUSER, once);
    how.epochs = 0;
    how.steps = 3; // an epoch
    refused(&how, LORAC_EUSER, once);
    how.steps = 4;
    lorac_mem_free(train(&how, true).end);
    how.cache = LORAC_RECIPE_CACHE_AUTO;
    how.steps = 3;
    lorac_mem_free(train(&how, false).end);
    how.steps = 4;
    lorac_mem_free(train(&how, true).end);
    how.cache = LORAC_RECIPE_CACHE_OFF;
    lorac_mem_free(train(&how, false).end);
}

static void without_room_nothing_is_kept_and_it_is_said(void **state)
{
    (void)state;
    struct how how = plain;
    struct scene s;
    how.cache = LORAC_RECIPE_CACHE_AUTO;
    how.memory = 1000; // less than any row of the table takes
    opened(&s, &how);
    assert_int_equal(lorac_trainer_frozen(s.t)->layers, 0);
    assert_string_equal(lorac_trainer_frozen(s.t)->why,
                        "train.cache_frozen_prefix: not done: the rows that leave the frozen "
                        "layers take 0 MiB, and there are 0 of memory for them, or 0 on the disk "
                        "of output.dir");
    step(&s);
    close_scene(&s);
    how.cache = LORAC_RECIPE_CACHE_ON;
    refused(&how, LORAC_EUSER,
            "train.cache_frozen_prefix: on: the rows that leave the frozen layers take 0 MiB, and "
            "there are 0 of memory for them, or 0 on the disk of output.dir");
}

/* With a limit on the size of files. */
static void limit_files(struct rlimit *before, rlim_t bytes)
{
    assert_int_equal(getrlimit(RLIMIT_FSIZE, before), 0);
    struct rlimit few = {bytes, before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
}

static void a_file_takes_half_of_the_room_or_by_name_all(void **state)
{
    (void)state;
    struct how how = plain;
    struct rlimit before;
    struct scene s;
    how.cache = LORAC_RECIPE_CACHE_AUTO;
    how.memory = 0;
    how.dir = tiny_dir();
    opened(&s, &how);
    size_t bytes = lorac_trainer_frozen(s.t)->bytes;
    assert_true(lorac_trainer_frozen(s.t)->on_disk && bytes > 0);
    close_scene(&s);
    static const struct {
        bool on, fits;
        int more;
    } rooms[] = {{false, false, 0}, {true, true, 0}, {true, false, -1}};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        struct lorac_err err = {0};
        how.cache = rooms[i].on ? LORAC_RECIPE_CACHE_ON : LORAC_RECIPE_CACHE_AUTO;
        limit_files(&before, bytes + (rlim_t)rooms[i].more);
        enum lorac_status st = open_scene(&s, &how, &err);
        assert_int_equal(st, rooms[i].on && !rooms[i].fits ? LORAC_EUSER : LORAC_OK);
        if (!st) { assert_int_equal(lorac_trainer_frozen(s.t)->layers, rooms[i].fits ? 1 : 0); }
        if (!st) { step(&s); }
        close_scene(&s);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    }
}

static void a_disk_that_is_full_meanwhile_is_an_error_with_the_way_out(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_step out;
    struct how how = plain;
    struct rlimit before;
    struct scene s;
    how.cache = LORAC_RECIPE_CACHE_AUTO;
    how.memory = 0;
    how.dir = tiny_dir();
    opened(&s, &how);
    limit_files(&before, 1000);
    enum lorac_status st = lorac_trainer_step(&out, s.t, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(st, LORAC_EIO);
    assert_non_null(strstr(err.text, ": a file there may have 0 MiB (ulimit -f), 0 are needed "
                                     "(train.cache_frozen_prefix: off does without)"));
    assert_int_equal(step(&s).step, 1); // nothing was lost
    close_scene(&s);
}

/* ---- a run ---- */

static bool nowhere_in(const char *out, const char *what)
{
    char **names = NULL;
    bool found = false;
    assert_int_equal(lorac_dir_list(&names, tiny_path(out), NULL), LORAC_OK);
    for (size_t i = 0; names[i]; i++) {
        found = found || strstr(names[i], what);
    }
    lorac_mem_free(names);
    return !found;
}

/* Told by the last run. */
static char told[1024];

static void note(void *self, const char *text)
{
    (void)self;
    if (strncmp(text, "train.cache", 11) == 0) { (void)snprintf(told, sizeof told, "%s", text); }
}

static const char *const last_layer[] = {"adapter.layers=[1]", NULL};
static const char *const last_layer_off[] = {"adapter.layers=[1]", "train.cache_frozen_prefix=off",
                                             NULL};

static void a_resumed_run_ends_with_the_same_bytes(void **state)
{
    (void)state;
    size_t n = 0;
    (void)runs_well("whole", LORAC_RUN_NEW, NULL, last_layer);
    char *manifest = tiny_read_in(tiny_path("whole"), "run.json", &n);
    assert_non_null(strstr(manifest, "\"frozen_layers\": 1,"));
    lorac_mem_free(manifest);
    for (size_t at = 1; at < RUNS_STEPS; at += 3) {
        struct runs_stop stop = {.at = at};
        struct lorac_run_watch watch = runs_stop_watch(&stop);
        (void)runs_well("parts", LORAC_RUN_OVERWRITE, &watch, last_layer);
        watch = (struct lorac_run_watch){.note = note};
        told[0] = '\0';
        (void)runs_well("parts", LORAC_RUN_RESUME, &watch, last_layer);
        assert_string_equal(told, "");
        runs_same("whole", "parts");
    }
    assert_true(nowhere_in("parts", "scratch"));
}

static void going_on_without_is_told(void **state)
{
    (void)state;
    struct runs_stop stop = {.at = 5};
    struct lorac_run_watch watch = runs_stop_watch(&stop);
    struct lorac_run_watch listen = {.note = note};
    (void)runs_well("less", LORAC_RUN_OVERWRITE, &watch, last_layer);
    told[0] = '\0';
    (void)runs_well("less", LORAC_RUN_RESUME, &listen, last_layer_off);
    assert_string_equal(told, "train.cache_frozen_prefix: 0 layers run once a row now, and 1 when "
                              "the run began: the result will differ from an uninterrupted run in "
                              "the last bits");
}

struct first {
    size_t asked, prepared, steps;
};

static bool stop_at_once(void *self)
{
    struct first *f = self;
    f->asked++;
    return f->asked == 3;
}

static void count_preparing(void *self, const char *what, double done)
{
    assert_string_equal(what, "frozen layers");
    assert_true(done >= 0.0 && done < 1.0);
    ((struct first *)self)->prepared++;
}

static void count_step(void *self, const struct lorac_step *s)
{
    (void)s;
    ((struct first *)self)->steps++;
}

static void a_stop_while_frozen_layers_run_loses_nothing(void **state)
{
    (void)state;
    struct first f = {0};
    struct lorac_run_watch watch = {
        .self = &f, .stop = stop_at_once, .preparing = count_preparing, .step = count_step};
    struct lorac_run_result r = runs_well("first", LORAC_RUN_NEW, &watch, last_layer);
    assert_int_equal(r.end, LORAC_RUN_STOPPED);
    assert_int_equal(r.step, 0);
    assert_true(f.prepared == 3 && f.steps == 0);
    (void)runs_well("first", LORAC_RUN_RESUME, NULL, last_layer);
    (void)runs_well("whole", LORAC_RUN_OVERWRITE, NULL, last_layer);
    runs_same("whole", "first");
}

/* ---- failures ---- */

static enum lorac_status all_of_it(bool disk, struct lorac_err *err)
{
    struct how how = plain;
    struct scene s;
    struct lorac_step done = {0};
    struct lorac_trainer_size size = {0};
    struct lorac_frozen *left = NULL;
    how.cache = LORAC_RECIPE_CACHE_ON;
    how.memory = disk ? 0 : SIZE_MAX;
    how.dir = disk ? tiny_dir() : NULL;
    enum lorac_status st = open_parts(&s, &how, err);
    s.o.rows = &left;
    if (!st) { st = lorac_trainer_open(&s.t, &s.o, err); }
    if (!st) { st = lorac_trainer_measure(&size, &s.o, err); }
    if (!st) { st = lorac_trainer_prepare(s.t, NULL, NULL, err); }
    if (!st) { st = lorac_trainer_step(&done, s.t, err); }
    if (!st) { faults_say("%zu %a", size.frozen, done.loss); }
    close_scene(&s);
    if (!st) { assert_int_equal(lorac_frozen_held(left), disk ? 0 : size.kept.bytes); }
    lorac_frozen_free(left);
    return st;
}

static enum lorac_status in_memory(struct lorac_err *err)
{
    return all_of_it(false, err);
}

static enum lorac_status on_disk(struct lorac_err *err)
{
    return all_of_it(true, err);
}

static void each_failure_is_reported(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {{"in memory", in_memory, false, 7},
                                                 {"on disk", on_disk, false, 7}};
    faults_meet(all, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_rows_train_as_those_that_run),
        cmocka_unit_test(frozen_layers_run_once_a_row),
        cmocka_unit_test(a_loaded_state_goes_on_with_the_same_bytes),
        cmocka_unit_test(where_nothing_is_gained_nothing_is_kept),
        cmocka_unit_test(without_room_nothing_is_kept_and_it_is_said),
        cmocka_unit_test(a_file_takes_half_of_the_room_or_by_name_all),
        cmocka_unit_test(a_disk_that_is_full_meanwhile_is_an_error_with_the_way_out),
        cmocka_unit_test(a_resumed_run_ends_with_the_same_bytes),
        cmocka_unit_test(going_on_without_is_told),
        cmocka_unit_test(a_stop_while_frozen_layers_run_loses_nothing),
        cmocka_unit_test(each_failure_is_reported),
    };
    return cmocka_run_group_tests_name("kept rows", tests, open_all, close_all);
}
