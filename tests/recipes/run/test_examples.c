/*
 * The example tables that ship. What is promised: as many rows as their README says, no label above
 * 0.15 of them, half Italian and half English, no text twice in a table or in two of a task's; an
 * extracted line holds a number only where its message does; and each task's recipe reads and opens
 * with every row whole. Recipes for published tables name no path of another machine: two variables
 * say where tables and model lie, one that is not set is an error which tells what belongs there,
 * and with the tables the recipe opens.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/job.h"
#include "tests/datasets/bytes.h"
#include "tests/support/data.h"
#include "tests/support/tiny.h"

#include <stdlib.h>

#define EXAMPLES LORAC_TESTS_DIR "/../datasets/examples/"
#define RECIPES LORAC_TESTS_DIR "/../recipes/"

/* A task: tables of three columns (text, answer, lang) and a recipe. */
enum { TRAIN, TEST, VALID, FILES };
static const struct task {
    const char *file[FILES];
    size_t rows[FILES], n_files; // without VALID the recipe splits rows off TRAIN
    const char *recipe;
    const char *text, *answer; // columns
    size_t labels;             // 0: free text
} tasks[] = {
    {{EXAMPLES "shop_intent/train.csv", EXAMPLES "shop_intent/test.csv",
      EXAMPLES "shop_intent/valid.csv"},
     {6480, 400, 400},
     3,
     RECIPES "shop_intent.yaml",
     "text",
     "intent",
     10},
    {{EXAMPLES "shop_extract/train.csv", EXAMPLES "shop_extract/test.csv"},
     {1560, 348},
     2,
     RECIPES "shop_extract.yaml",
     "message",
     "answer",
     0},
    {{EXAMPLES "shop_intent/train.csv", EXAMPLES "shop_intent/test.csv",
      EXAMPLES "shop_intent/valid.csv"},
     {6480, 400, 400},
     3,
     RECIPES "shop_intent_head.yaml",
     "text",
     "intent",
     10},
};
enum { TASKS = sizeof tasks / sizeof *tasks };

static struct lorac_table *open_table(const char *path)
{
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    if (lorac_table_open(&t, path, NULL, &err)) { fail_msg("%s", err.text); }
    return t;
}

static size_t column(const struct lorac_table *t, const char *name)
{
    size_t c = 0;
    struct lorac_err err = {0};
    if (lorac_table_column_find(&c, t, name, &err)) { fail_msg("%s", err.text); }
    return c;
}

static void check_half_is_italian(const struct lorac_table *t)
{
    struct lorac_classes lang;
    assert_int_equal(lorac_classes_find(&lang, t, column(t, "lang"), 2, NULL), LORAC_OK);
    assert_int_equal(lang.K, 2);
    assert_in_range(lang.count[0], lorac_table_rows(t) * 48 / 100, lorac_table_rows(t) * 52 / 100);
    lorac_classes_free(&lang);
}

static void check_labels(const struct lorac_table *t, const struct task *task)
{
    struct lorac_classes c;
    assert_int_equal(lorac_classes_find(&c, t, column(t, task->answer), task->labels, NULL),
                     LORAC_OK);
    assert_int_equal(c.K, task->labels);
    for (size_t k = 0; k < c.K; k++) {
        assert_true((double)c.count[k] < 0.15 * (double)lorac_table_rows(t));
    }
    lorac_classes_free(&c);
}

static void rows_labels_and_languages_are_as_many_as_promised(void **state)
{
    (void)state;
    for (size_t i = 0; i < TASKS; i++) {
        for (size_t f = 0; f < tasks[i].n_files; f++) {
            struct lorac_table *t = open_table(tasks[i].file[f]);
            assert_int_equal(lorac_table_rows(t), tasks[i].rows[f]);
            assert_int_equal(lorac_table_columns(t), 3);
            assert_int_equal(lorac_table_blank_lines(t)->n, 0);
            check_half_is_italian(t);
            if (tasks[i].labels) { check_labels(t, &tasks[i]); }
            lorac_table_close(t);
        }
    }
}

/* The texts of a table, a byte an id, whatever their answers are. */
static struct lorac_dataset *open_texts(const struct lorac_table *t,
                                        const struct lorac_tokenizer *bytes, const char *text)
{
    const struct lorac_variable variable = {"text", text};
    return open_dataset(t, bytes,
                        &(struct lorac_dataset_options){.variables = &variable,
                                                        .n_variables = 1,
                                                        .prompt = "{text}",
                                                        .completion = ".",
                                                        .max_length = 1000});
}

static void no_text_stands_twice(void **state)
{
    (void)state;
    struct lorac_tokenizer *bytes = open_bytes();
    for (size_t i = 0; i < TASKS; i++) {
        struct lorac_table *t[FILES];
        struct lorac_dataset *set[FILES];
        for (size_t f = 0; f < tasks[i].n_files; f++) {
            t[f] = open_table(tasks[i].file[f]);
            set[f] = open_texts(t[f], bytes, tasks[i].text);
            assert_int_equal(lorac_dataset_counts(set[f])->duplicates.n, 0);
            for (size_t g = 0; g < f; g++) {
                size_t shared = 1;
                assert_int_equal(lorac_dataset_shared(&shared, set[g], set[f], NULL), LORAC_OK);
                assert_int_equal(shared, 0);
            }
        }
        for (size_t f = 0; f < tasks[i].n_files; f++) {
            lorac_dataset_close(set[f]);
            lorac_table_close(t[f]);
        }
    }
    lorac_tokenizer_free(bytes);
}

/* "cancel; order 4471": the message holds the number, or no number of four digits where it is
 * unknown. */
static void check_line(const char *message, const char *line, uint64_t at)
{
    char number[16];
    if (sscanf(line, "%*[a-z]; order %15[0-9a-z]", number) != 1) {
        fail_msg("line %ju: no order in '%s'", (uintmax_t)at, line);
    }
    bool found = strstr(message, number);
    if (!strcmp(number, "unknown")) {
        size_t digits = strcspn(message, "0123456789");
        found = strspn(message + digits, "0123456789") < 4;
    }
    if (!found) { fail_msg("line %ju: '%s' of '%s'", (uintmax_t)at, line, message); }
}

static void an_extracted_number_stands_in_its_message(void **state)
{
    (void)state;
    for (size_t f = 0; f < tasks[1].n_files; f++) {
        struct lorac_table *t = open_table(tasks[1].file[f]);
        struct lorac_row row = {0};
        for (size_t i = 0; i < lorac_table_rows(t); i++) {
            char message[500];
            char line[100];
            assert_int_equal(lorac_table_row(&row, t, i, NULL), LORAC_OK);
            (void)snprintf(message, sizeof message, "%.*s", (int)row.cells[0].n, row.cells[0].at);
            (void)snprintf(line, sizeof line, "%.*s", (int)row.cells[1].n, row.cells[1].at);
            check_line(message, line, row.line);
        }
        lorac_row_free(&row);
        lorac_table_close(t);
    }
}

static void recipes_open_with_every_row_whole(void **state)
{
    (void)state;
    tiny_write(tiny_path("model"));
    char model[600];
    (void)snprintf(model, sizeof model, "model.path=%s", tiny_path("model"));
    // a byte is a token here, so that rows are longer than in the recipe's own model
    const struct lorac_recipe_set sets[] = {{model, false}, {"model.max_length=1000", false}};
    for (size_t i = 0; i < TASKS; i++) {
        struct lorac_recipe *r = NULL;
        struct lorac_job *j = NULL;
        struct lorac_err err = {0};
        if (lorac_recipe_open(&r, tasks[i].recipe, sets, 2, NULL, &err) ||
            lorac_job_open(&j, r, LORAC_JOB_TRAIN | LORAC_JOB_TEST | LORAC_JOB_NO_MODEL, &err)) {
            fail_msg("%s", err.text);
        }
        size_t valid = lorac_dataset_size(j->valid.set);
        assert_int_equal(lorac_dataset_size(j->train.set) + valid,
                         tasks[i].rows[TRAIN] + tasks[i].rows[VALID]);
        assert_int_equal(lorac_dataset_size(j->test.set), tasks[i].rows[TEST]);
        assert_int_equal(lorac_dataset_counts(j->train.set)->truncated.n, 0);
        assert_int_equal(lorac_dataset_counts(j->valid.set)->truncated.n, 0);
        assert_int_equal(lorac_dataset_counts(j->test.set)->truncated.n, 0);
        assert_int_equal(j->K, tasks[i].labels);
        lorac_job_close(j);
        lorac_recipe_free(r);
    }
}

/* Recipes for tables that do not ship: their files below $LORAC_DATA, as small ones of the same
 * form. */
enum { PUBLISHED_FILES = 3 };
static const struct published {
    const char *recipe;
    size_t labels; // of the real tables
    struct {
        const char *name, *text;
        size_t rows; // of the real one
    } file[PUBLISHED_FILES];
} published[] = {
    {"sst2.yaml",
     2,
     {{"sst2/train.tsv", "a fine film\t1\ntoo long\t0\n", 6920},
      {"sst2/dev.tsv", "so so\t0\n", 872},
      {"sst2/test.tsv", "a \"joy\"\t1\n", 1821}}},
    {"banking77.yaml",
     77,
     {{"banking77/train.csv",
       "text,category\n\"Hm, my card?\",card_arrival\na,card_arrival\nb,card_arrival\n"
       "c,card_arrival\nd,age_limit\ne,age_limit\nf,age_limit\ng,age_limit\n",
       10003},
      {"banking77/test.csv", "text,category\nWhere is it?,card_arrival\n", 3080}}},
    {"banking77_head.yaml",
     77,
     {{"banking77/train.csv", NULL, 10003}, {"banking77/test.csv", NULL, 3080}}},
    {"smollm2_sst2.yaml",
     2,
     {{"sst2/train.tsv", NULL, 6920}, {"sst2/dev.tsv", NULL, 872}, {"sst2/test.tsv", NULL, 1821}}},
    {"smollm2_banking77.yaml",
     77,
     {{"banking77/train.csv", NULL, 10003}, {"banking77/test.csv", NULL, 3080}}},
    {"smollm2_e2e.yaml",
     0,
     {{"e2e-nlg/devset.csv", "mr,ref\nname[A],A is a place.\nname[B],B is another.\n", 4672},
      {"e2e-nlg/testset_w_refs.csv", "mr,ref\nname[C],C is one.\n", 4693}}},
};
enum { PUBLISHED = sizeof published / sizeof *published };

static enum lorac_status open_published(struct lorac_recipe **r, const struct published *p,
                                        const struct lorac_recipe_set *sets, size_t n_sets,
                                        struct lorac_err *err)
{
    char *path = lorac_path_join(RECIPES, p->recipe);
    assert_non_null(path);
    enum lorac_status st = lorac_recipe_open(r, path, sets, n_sets, NULL, err);
    lorac_mem_free(path);
    return st;
}

static void set_variables(const char *tables)
{
    assert_int_equal(setenv("LORAC_DATA", tables, 1), 0);
    assert_int_equal(setenv("LORAC_MODEL", tiny_path("model"), 1), 0);
}

/* Every row of every table opens, with a model whose tokens are bytes. */
static void check_published(const struct published *p, bool real)
{
    const struct lorac_recipe_set sets[] = {{"model.max_length=2000", false},
                                            {"data.valid={split: 0.5}", false}};
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_err err = {0};
    size_t n_sets = real || p->labels == 2 ? 1 : 2; // few rows are not cut in twentieths
    if (open_published(&r, p, sets, n_sets, &err) ||
        lorac_job_open(&j, r, LORAC_JOB_TRAIN | LORAC_JOB_TEST | LORAC_JOB_NO_MODEL, &err)) {
        fail_msg("%s: %s", p->recipe, err.text);
    }
    assert_int_equal(lorac_dataset_counts(j->train.set)->truncated.n, 0);
    assert_true((j->K > 0) == (p->labels > 0));
    if (real) {
        size_t split_off = j->valid.table ? 0 : lorac_dataset_size(j->valid.set);
        assert_int_equal(lorac_dataset_size(j->train.set) + split_off, p->file[0].rows);
        assert_int_equal(lorac_dataset_size(j->test.set), p->file[p->file[2].name ? 2 : 1].rows);
        assert_int_equal(j->K, p->labels);
    }
    lorac_job_close(j);
    lorac_recipe_free(r);
}

static void recipes_for_published_tables_open_with_tables_of_their_form(void **state)
{
    (void)state;
    tiny_write(tiny_path("model"));
    static const char *const folders[] = {"tables/sst2", "tables/banking77", "tables/e2e-nlg"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        assert_int_equal(lorac_dir_make(tiny_path(folders[i]), NULL), LORAC_OK);
    }
    set_variables(tiny_path("tables"));
    for (size_t i = 0; i < PUBLISHED; i++) {
        for (size_t f = 0; f < PUBLISHED_FILES; f++) {
            char name[100];
            if (!published[i].file[f].text) { continue; }
            (void)snprintf(name, sizeof name, "tables/%s", published[i].file[f].name);
            tiny_text(name, published[i].file[f].text);
        }
        check_published(&published[i], false);
    }
}

static void recipes_for_published_tables_open_with_the_real_ones(void **state)
{
    (void)state;
    tiny_write(tiny_path("model"));
    char *tables = data_path("csv");
    if (!tables) { return; }
    set_variables(tables);
    lorac_mem_free(tables);
    for (size_t i = 0; i < PUBLISHED; i++) {
        char name[256];
        (void)snprintf(name, sizeof name, "csv/%s", published[i].file[0].name);
        char *path = data_path(name);
        if (path) { check_published(&published[i], true); }
        lorac_mem_free(path);
    }
}

static void a_variable_that_is_not_set_is_told_with_what_belongs_there(void **state)
{
    (void)state;
    unsetenv("LORAC_DATA");
    unsetenv("LORAC_MODEL");
    for (size_t i = 0; i < PUBLISHED; i++) {
        char want[200];
        char model[600];
        struct lorac_recipe *r = NULL;
        struct lorac_err err = {0};
        assert_int_equal(open_published(&r, &published[i], NULL, 0, &err), LORAC_EUSER);
        assert_non_null(strstr(err.text, "'LORAC_MODEL' is not set; set it to this path (folder "));
        (void)snprintf(model, sizeof model, "model.path=%s", tiny_path("model"));
        const struct lorac_recipe_set sets[] = {{model, false}};
        assert_int_equal(open_published(&r, &published[i], sets, 1, &err), LORAC_EUSER);
        (void)snprintf(want, sizeof want, "'LORAC_DATA' is not set; set it to the folder that '%s'",
                       published[i].file[0].name);
        if (!strstr(err.text, want)) { fail_msg("%s", err.text); }
    }
}

/* ".." leads from recipes/ to the tree, and no further. */
static void no_recipe_leaves_the_tree(void **state)
{
    (void)state;
    char **names = NULL;
    size_t seen = 0;
    assert_int_equal(lorac_dir_list(&names, RECIPES, NULL), LORAC_OK);
    for (char **name = names; *name; name++) {
        const char *end = strrchr(*name, '.');
        if (!end || strcmp(end, ".yaml") != 0) { continue; }
        size_t n = 0;
        char *text = tiny_read_in(RECIPES, *name, &n);
        if (strstr(text, "../..") || strstr(text, ": /") || strstr(text, "- /")) {
            fail_msg("%s names a path outside the tree", *name);
        }
        lorac_mem_free(text);
        seen++;
    }
    lorac_mem_free(names);
    assert_true(seen >= PUBLISHED + TASKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_labels_and_languages_are_as_many_as_promised),
        cmocka_unit_test(no_text_stands_twice),
        cmocka_unit_test(an_extracted_number_stands_in_its_message),
        cmocka_unit_test(recipes_open_with_every_row_whole),
        cmocka_unit_test(recipes_for_published_tables_open_with_tables_of_their_form),
        DATA_TEST(recipes_for_published_tables_open_with_the_real_ones),
        cmocka_unit_test(a_variable_that_is_not_set_is_told_with_what_belongs_there),
        cmocka_unit_test(no_recipe_leaves_the_tree),
    };
    return data_result(cmocka_run_group_tests(tests, NULL, tiny_remove));
}
