/* trains.c - see trains.h. */
#include "tests/support/trains.h"

#include "base/core/file.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

const char *trains_file;
const char *trains_out;

int trains_make(void **state)
{
    static char paths[2][4352];
    (void)state;
    (void)snprintf(paths[0], sizeof paths[0], "%s", tiny_path("a.txt"));
    (void)snprintf(paths[1], sizeof paths[1], "%s", tiny_path("out"));
    trains_file = paths[0];
    trains_out = paths[1];
    return 0;
}

int trains_clear(void **state)
{
    (void)state;
    return lorac_dir_remove(trains_out, NULL) != LORAC_OK;
}

void trains_put(const char *text, size_t n)
{
    assert_int_equal(lorac_file_write(trains_file, text, n, NULL), LORAC_OK);
}

struct lorac_tokenizer_options trains_options(size_t vocab_size)
{
    return (struct lorac_tokenizer_options){
        .files = &trains_file, .n_files = 1, .vocab_size = vocab_size, .min_frequency = 1};
}

struct lorac_tokenizer *trains_new(struct lorac_tokenizer_report *report,
                                   const struct lorac_tokenizer_options *o)
{
    struct lorac_err err = {0};
    struct lorac_tokenizer *t = NULL;
    if (lorac_tokenizer_train(report, trains_out, o, &err)) { fail_msg("%s", err.text); }
    if (lorac_tokenizer_open(&t, trains_out, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_dir_remove(trains_out, NULL), LORAC_OK);
    return t;
}
