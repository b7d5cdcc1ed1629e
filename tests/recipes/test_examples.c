/*
 * The example tables that ship. What is promised: as many rows as their README says, no label above 0.15 of
 * them, half Italian and half English, no text twice in a table or in two of a task's; an extracted line
 * holds a number only where its message does; and each task's recipe reads and opens with every row whole.
 */
#include "recipes/job.h"
#include "tests/datasets/bytes.h"
#include "tests/support/tiny.h"

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
            assert_int_equal(lorac_table_blank_lines(t), 0);
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

/* "cancel; order 4471": the message holds the number, or no number of four digits where it is unknown. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_labels_and_languages_are_as_many_as_promised),
        cmocka_unit_test(no_text_stands_twice),
        cmocka_unit_test(an_extracted_number_stands_in_its_message),
        cmocka_unit_test(recipes_open_with_every_row_whole),
    };
    return cmocka_run_group_tests(tests, NULL, tiny_remove);
}
