/*
 * config.json of encoders. What is promised:
 *   - ModernBERT's rotary bases are those of rope_parameters, else those under their names of
 *     transformers 4, else its class's; a name that its class does not have says nothing;
 *   - sizes are read under the names that transformers' classes take beside their own.
 */
#include "base/config_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum lorac_status read_text(struct lorac_config *c, const char *text, struct lorac_err *err)
{
    struct lorac_json root = {0};
    assert_int_equal(lorac_json_parse(&root, text, strlen(text), "config.json", err), LORAC_OK);
    enum lorac_status st = lorac_config_read(c, &root, err);
    lorac_json_free(&root);
    return st;
}

static struct lorac_config well(const char *text)
{
    struct lorac_config c;
    struct lorac_err err = {0};
    if (read_text(&c, text, &err)) { fail_msg("%s", err.text); }
    return c;
}

#define MODERN "{\"model_type\": \"modernbert\", "
#define OLD "\"global_rope_theta\": 5, \"local_rope_theta\": 7"
#define NEW(full, sliding)                                                             \
    "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"" full "}, " \
    "\"sliding_attention\": {\"rope_type\": \"default\"" sliding "}}"

static void modernberts_bases_are_found_where_files_have_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double full, sliding;
    } cases[] = {
        {MODERN "\"vocab_size\": 9}", 160000.0, 10000.0},
        {MODERN OLD "}", 5.0, 7.0},
        {MODERN NEW(", \"rope_theta\": 9", ", \"rope_theta\": 11") "}", 9.0, 11.0},
        {MODERN OLD ", " NEW(", \"rope_theta\": 9", "") "}", 9.0, 7.0},
        {MODERN OLD ", " NEW("", "") "}", 5.0, 7.0},
        {MODERN "\"rope_theta\": 77}", 160000.0, 10000.0},
        {MODERN "\"global_rope_theta\": 5, \"local_rope_theta\": null}", 5.0, 5.0},
    };
    static const char *const wrong[][2] = {
        {MODERN "\"local_rope_theta\": 1}",
         "config.json: 'local_rope_theta' must be a rotary base above 1, found 1"},
        {MODERN NEW("", ", \"rope_theta\": 0") "}",
         "config.json: 'rope_parameters.sliding_attention.rope_theta' must be a rotary base above "
         "1, found 0"},
        {MODERN "\"rope_parameters\": {\"rope_theta\": 9}}",
         "config.json: 'rope_parameters' must be settings of full_attention and of "
         "sliding_attention, found {\"rope_theta\":9}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_config c = well(cases[i].text);
        assert_true(c.theta == cases[i].full);
        assert_true(c.theta_sliding == cases[i].sliding);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct lorac_config c;
        struct lorac_err err = {0};
        assert_int_equal(read_text(&c, wrong[i][0], &err), LORAC_EFORMAT);
        assert_string_equal(err.text, wrong[i][1]);
    }
}

/* As mmBERT's files have it: its class knows no other positions than rotary ones. */
static void what_positions_are_counts_where_they_are_learned(void **state)
{
    (void)state;
    struct lorac_config c = well(MODERN "\"position_embedding_type\": \"sans_pos\"}");
    struct lorac_err err = {0};
    assert_int_equal(c.rotary, 64);
    assert_int_equal(read_text(&c,
                               "{\"model_type\": \"bert\", "
                               "\"position_embedding_type\": \"relative_key\"}",
                               &err),
                     LORAC_EFORMAT);
    assert_string_equal(err.text, "config.json: 'position_embedding_type' must be \"absolute\" "
                                  "(others are not supported), found \"relative_key\"");
}

static void sizes_have_the_names_that_all_classes_take(void **state)
{
    (void)state;
    struct lorac_config c = well("{\"model_type\": \"distilbert\", \"n_heads\": 8, "
                                 "\"num_attention_heads\": 4, \"hidden_size\": 32, "
                                 "\"num_hidden_layers\": 3}");
    assert_true(c.H == 4 && c.C == 32 && c.L == 3);
    c = well("{\"model_type\": \"gpt2\", \"num_attention_heads\": 4, \"hidden_size\": 32, "
             "\"num_hidden_layers\": 3, \"max_position_embeddings\": 77}");
    assert_true(c.H == 4 && c.C == 32 && c.L == 3 && c.max_positions == 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modernberts_bases_are_found_where_files_have_them),
        cmocka_unit_test(what_positions_are_counts_where_they_are_learned),
        cmocka_unit_test(sizes_have_the_names_that_all_classes_take),
    };
    return cmocka_run_group_tests_name("config_encoder", tests, NULL, NULL);
}
