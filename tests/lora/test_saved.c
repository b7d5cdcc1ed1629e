/*
 * The template that travels with an adapter. What is promised: what is written reads back, whatever
 * the texts hold; a part that is missing or of another type is an error that names it; a file of
 * another program's, without labels or tokenizer, is told from one that has none.
 */
#include "lora/saved.h"

#include "base/core/mem.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const char *const labels[] = {"", "a \"quote\" \\", "\xc3\xa9\n\x01",
                                         "\xf0\x9f\x99\x82"};
    const struct lorac_saved was = {.prompt = "{x}\t\n",
                                    .completion = " {label}",
                                    .append_eos = true,
                                    .labels = labels,
                                    .K = 4,
                                    .chat = "{% for m in messages %}",
                                    .system = "s {x}",
                                    .date = "2026-11-29",
                                    .tokenizer = "0123456789abcdef",
                                    .problem = "regression",
                                    .mean = -0.1,
                                    .deviation = 1.0 / 3.0};
    struct lorac_saved *is = NULL;
    struct lorac_buf json = {0};
    lorac_saved_write(&json, &was);
    assert_null(strchr(json.at, '\n'));
    assert_int_equal(lorac_saved_read(&is, json.at, NULL), LORAC_OK);
    assert_string_equal(is->prompt, was.prompt);
    assert_string_equal(is->completion, was.completion);
    assert_string_equal(is->chat, was.chat);
    assert_string_equal(is->system, was.system);
    assert_string_equal(is->date, was.date);
    assert_string_equal(is->tokenizer, was.tokenizer);
    assert_string_equal(is->problem, was.problem);
    assert_memory_equal(&is->mean, &was.mean, sizeof was.mean); // bit for bit
    assert_memory_equal(&is->deviation, &was.deviation, sizeof was.deviation);
    assert_true(is->append_eos && is->K == 4);
    for (size_t k = 0; k < 4; k++) {
        assert_string_equal(is->labels[k], labels[k]);
    }
    lorac_mem_free(is);
    lorac_buf_free(&json);
}

#define TEXTS "{\"prompt\": \"\", \"completion\": \"\", \"append_eos\": false"

static void what_is_not_told_is_null(void **state)
{
    (void)state;
    struct lorac_saved *is = NULL;
    assert_int_equal(lorac_saved_read(&is, NULL, NULL), LORAC_OK);
    assert_null(is);
    assert_int_equal(lorac_saved_read(&is, TEXTS "}", NULL), LORAC_OK);
    assert_true(!is->labels && is->K == 0 && !is->tokenizer);
    assert_true(!is->chat && !is->system && !is->date && !is->problem);
    assert_true(!(is->deviation > 0.0));
    lorac_mem_free(is);
    assert_int_equal(lorac_saved_read(&is, TEXTS ", \"labels\": []}", NULL), LORAC_OK);
    assert_true(is->labels && is->K == 0);
    lorac_mem_free(is);
}

static void a_damaged_one_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"completion\": \"\", \"append_eos\": false}",
         "lorac.template: 'prompt' is missing, text was expected"},
        {"{\"prompt\": \"\", \"append_eos\": false}",
         "lorac.template: 'completion' is missing, text was expected"},
        {"{\"prompt\": \"\", \"completion\": \"\"}",
         "lorac.template: 'append_eos' is missing, true or false was expected"},
        {TEXTS ", \"labels\": [\"a\", 1]}", "lorac.template: 'labels[1]' must be a text, found 1"},
        {TEXTS ", \"mean\": 3}", "lorac.template: 'deviation' is missing, a number was expected"},
        {TEXTS ", \"mean\": 3, \"deviation\": 0}",
         "lorac.template: 'deviation' must be above 0, found 0"},
        {"{", "lorac.template:1:1: not valid JSON: string or '}' expected near end of file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_err err = {0};
        struct lorac_saved *is = NULL;
        assert_int_equal(lorac_saved_read(&is, cases[i][0], &err), LORAC_EFORMAT);
        assert_null(is);
        assert_string_equal(err.text, cases[i][1]);
    }
}

static void a_missing_allocation_is_reported(void **state)
{
    (void)state;
    bool met = true;
    for (long n = 0; met; n++) {
        struct lorac_err err = {0};
        struct lorac_saved *is = NULL;
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_saved_read(&is, TEXTS ", \"labels\": [\"a\"]}", &err);
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        assert_true(met == !is);
        lorac_mem_free(is);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(what_is_not_told_is_null),
        cmocka_unit_test(a_damaged_one_is_refused_by_name),
        cmocka_unit_test(a_missing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
