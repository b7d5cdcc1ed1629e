/*
 * adapter_config.json. What is promised:
 *   - what PEFT writes is read: names, patterns, layers, ranks, alphas, scaling, dropout;
 *   - a key that is not understood and not at its default is refused by name, as is every wrong
 *     type and range;
 *   - the configs of real adapters are read (label data).
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/peft_config.h"
#include "tests/support/data.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define START "{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"]"

static void expect(const char *text, enum lorac_status code, const char *message)
{
    struct lorac_err err = {0};
    struct lorac_peft_config c;
    enum lorac_status st = lorac_peft_config_parse(&c, text, strlen(text), "F", &err);
    assert_string_equal(err.text, message);
    assert_int_equal(st, code);
    assert_null(c.root.value);
}

static void what_peft_writes_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": 4, \"lora_alpha\": 2.5,"
        " \"lora_dropout\": 0.1, \"use_rslora\": true, \"base_model_name_or_path\": \"b\","
        " \"target_modules\": [\"q_proj\", \"lm_head\"], \"exclude_modules\": [\"x\"],"
        " \"layers_to_transform\": [1, 3], \"layers_pattern\": \"layers\","
        " \"rank_pattern\": {\"zz\": 2, \"aa\": 3}, \"alpha_pattern\": {\"zz\": 1.5},"
        " \"init_lora_weights\": \"gaussian\", \"bias\": \"none\", \"loftq_config\": {},"
        " \"modules_to_save\": [], \"peft_version\": \"0.21.2\", \"merge_weights\": true,"
        " \"some_new_key\": null, \"another\": {}, \"third\": false}";
    struct lorac_peft_config c;
    struct lorac_err err = {0};
    if (lorac_peft_config_parse(&c, text, strlen(text), "F", &err)) { fail_msg("%s", err.text); }
    const struct lorac_adapter_options *o = &c.options;
    assert_int_equal(o->rank, 4);
    assert_true(o->alpha == 2.5 && o->dropout == 0.1);
    assert_int_equal(o->scaling, LORAC_SCALE_RSLORA);
    assert_int_equal(o->init, LORAC_INIT_GAUSSIAN);
    assert_string_equal(c.base_name, "b");
    assert_int_equal(o->n_targets, 2);
    assert_string_equal(o->targets[1], "lm_head");
    assert_int_equal(o->n_exclude, 1);
    assert_string_equal(o->exclude[0], "x");
    assert_int_equal(o->n_layers, 2);
    assert_int_equal(o->layers[1], 3);
    assert_int_equal(o->n_overrides, 3); // in the file's order: the first that fits wins
    assert_string_equal(o->overrides[0].match, "zz");
    assert_int_equal(o->overrides[1].rank, 3);
    assert_true(o->overrides[2].rank == 0 && o->overrides[2].alpha == 1.5);
    assert_int_equal(o->n_train_also, 0);
    assert_int_equal(o->bias, LORAC_BIAS_NONE);
    lorac_peft_config_free(&c);
}

static void what_trains_in_full_is_read(void **state)
{
    (void)state;
    static const char text[] = START ", \"exclude_modules\": [\"x\"], \"bias\": \"lora_only\","
                                     " \"modules_to_save\": [\"lm_head\", \"model.norm\"],"
                                     " \"ensure_weight_tying\": true}";
    struct lorac_peft_config c;
    struct lorac_err err = {0};
    if (lorac_peft_config_parse(&c, text, strlen(text), "F", &err)) { fail_msg("%s", err.text); }
    assert_int_equal(c.options.n_train_also, 2);
    assert_string_equal(c.options.train_also[0], "lm_head");
    assert_string_equal(c.options.train_also[1], "model.norm");
    assert_string_equal(c.options.exclude[0], "x");
    assert_string_equal(c.options.targets[0], "q_proj");
    assert_int_equal(c.options.bias, LORAC_BIAS_LORA_ONLY);
    assert_int_equal(c.options.tie, LORAC_TIE_KEEP);
    lorac_peft_config_free(&c);
}

static void absent_keys_have_pefts_defaults(void **state)
{
    (void)state;
    struct lorac_peft_config c;
    static const char text[] = "{\"peft_type\": \"LORA\", \"target_modules\": \"All-Linear\"}";
    assert_int_equal(lorac_peft_config_parse(&c, text, strlen(text), "F", NULL), LORAC_OK);
    assert_int_equal(c.options.rank, 8);
    assert_true(c.options.alpha == 8);
    assert_null(c.options.regex);
    assert_int_equal(c.options.n_targets, 0);
    lorac_peft_config_free(&c);
}

static void a_string_is_a_pattern(void **state)
{
    (void)state;
    struct lorac_peft_config c;
    static const char text[] = "{\"peft_type\": \"LORA\", \"target_modules\": \".*q_proj\"}";
    assert_int_equal(lorac_peft_config_parse(&c, text, strlen(text), "F", NULL), LORAC_OK);
    assert_string_equal(c.options.regex, ".*q_proj");
    lorac_peft_config_free(&c);
}

static void what_just_reaches_a_limit_is_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        START ", \"r\": 4096}",
        START ", \"r\": 1}",
        START ", \"lora_dropout\": 0}",
        START ", \"lora_dropout\": 0.999}",
        START ", \"rank_pattern\": {\"q\": 4096}}",
        START ", \"layers_to_transform\": [0, 1023]}",
        START ", \"layers_pattern\": [\"layers\"]}",
        START ", \"layers_pattern\": []}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lorac_peft_config c;
        struct lorac_err err = {0};
        if (lorac_peft_config_parse(&c, texts[i], strlen(texts[i]), "F", &err)) {
            fail_msg("%s", err.text);
        }
        lorac_peft_config_free(&c);
    }
}

static void wrong_types_and_ranges_say_what_was_expected(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "F: must be a JSON object"},
        {"{\"target_modules\": [\"a\"]}", "F: 'peft_type' is missing, text was expected"},
        {"{\"peft_type\": \"VERA\", \"target_modules\": [\"a\"]}",
         "F: 'peft_type' must be \"LORA\" or \"IA3\", found \"VERA\""},
        {"{\"peft_type\": \"IA3\", \"r\": 8, \"target_modules\": [\"a\"]}",
         "F: 'r' must be absent (IA3 has no such key), found 8"},
        {"{\"peft_type\": \"LORA\"}",
         "F: 'target_modules' is missing, a list of names or a pattern was expected"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": []}",
         "F: 'target_modules' must be a list of names or a pattern, found []"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": \"\"}",
         "F: 'target_modules' must be a list of names or a pattern, found \"\""},
        {"{\"peft_type\": \"LORA\", \"target_modules\": 3}",
         "F: 'target_modules' must be a list of names or a pattern, found 3"},
        {"{\"peft_type\": \"LORA\", \"target_modules\": [\"a\", 3]}",
         "F: 'target_modules[1]' must be a module's name, found 3"},
        {START ", \"r\": 0}", "F: 'r' must be a whole number from 1 to 4096, found 0"},
        {START ", \"r\": 4097}", "F: 'r' must be a whole number from 1 to 4096, found 4097"},
        {START ", \"r\": 8.5}", "F: 'r' must be a whole number from 1 to 4096, found 8.5"},
        {START ", \"r\": \"8\"}", "F: 'r' must be a whole number from 1 to 4096, found \"8\""},
        {START ", \"lora_alpha\": 0}", "F: 'lora_alpha' must be a number above 0, found 0"},
        {START ", \"lora_alpha\": true}", "F: 'lora_alpha' must be a number above 0, found true"},
        {START ", \"lora_dropout\": 1}",
         "F: 'lora_dropout' must be a number from 0 to below 1, found 1"},
        {START ", \"lora_dropout\": -0.5}",
         "F: 'lora_dropout' must be a number from 0 to below 1, found -0.5"},
        {START ", \"use_rslora\": 1}", "F: 'use_rslora' must be true or false, found 1"},
        {START ", \"layers_to_transform\": []}",
         "F: 'layers_to_transform' must be null, a layer's number or a list of them, found []"},
        {START ", \"layers_to_transform\": [0, -1]}",
         "F: 'layers_to_transform[1]' must be a layer's number, found -1"},
        {START ", \"layers_to_transform\": \"0\"}",
         "F: 'layers_to_transform' must be null, a layer's number or a list of them, found \"0\""},
        {"{\"peft_type\": \"LORA\", \"target_modules\": \"a\", \"layers_to_transform\": 1}",
         "F: 'layers_to_transform' must be null (target_modules is no list), found 1"},
        {START ", \"layers_pattern\": \"h\"}", "F: 'layers_pattern' must be null or \"layers\" "
                                               "(these models have no others), found \"h\""},
        {START ", \"exclude_modules\": \".*q\"}", "F: 'exclude_modules' must be null or a list of "
                                                  "names (patterns are not supported here), found "
                                                  "\".*q\""},
        {START ", \"rank_pattern\": []}", "F: 'rank_pattern' must be an object, found []"},
        {START ", \"rank_pattern\": {\"q\": 0}}",
         "F: 'rank_pattern.q' must be a whole number from 1 to 4096, found 0"},
        {START ", \"rank_pattern\": {\"q\": 4097}}",
         "F: 'rank_pattern.q' must be a whole number from 1 to 4096, found 4097"},
        {START ", \"alpha_pattern\": [1]}", "F: 'alpha_pattern' must be an object, found [1]"},
        {START ", \"layers_to_transform\": [3, 1024]}",
         "F: 'layers_to_transform[1]' must be a layer's number, found 1024"},
        {START ", \"layers_pattern\": [\"layers\", \"h\"]}",
         "F: 'layers_pattern' must be null or \"layers\" (these models have no others), found "
         "[\"layers\",\"h\"]"},
        {START ", \"layers_pattern\": [\"h\"]}", "F: 'layers_pattern' must be null or \"layers\" "
                                                 "(these models have no others), found [\"h\"]"},
        {START ", \"alpha_pattern\": {\"q\": \"3\"}}",
         "F: 'alpha_pattern.q' must be a number above 0, found \"3\""},
        {START ", \"alpha_pattern\": {\"q\": null}}",
         "F: 'alpha_pattern.q' is missing, a number above 0 was expected"},
        {START ", \"task_type\": \"QUESTION_ANS\"}",
         "F: 'task_type' must be \"CAUSAL_LM\", \"SEQ_CLS\", \"TOKEN_CLS\", "
         "\"FEATURE_EXTRACTION\" or null, found \"QUESTION_ANS\""},
        {START ", \"init_lora_weights\": 3}",
         "F: 'init_lora_weights' must be true, false or a method's name, found 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i].text, LORAC_EFORMAT, cases[i].message);
    }
}

static void what_is_no_json_says_where(void **state)
{
    (void)state;
    static const char *const texts[] = {"", START, START ", \"r\": 8, \"r\": 16}", START "} x"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct lorac_err err = {0};
        struct lorac_peft_config c;
        enum lorac_status st = lorac_peft_config_parse(&c, texts[i], strlen(texts[i]), "F", &err);
        assert_int_equal(st, LORAC_EFORMAT);
        assert_memory_equal(err.text, "F:1:", 4);
        assert_non_null(strstr(err.text, ": not valid JSON: "));
    }
}

static void what_is_not_understood_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {START ", \"use_dora\": 1}", "F: 'use_dora' must be true or false, found 1"},
        {START ", \"lora_bias\": true}",
         "F: 'lora_bias' must be false (a bias on B is not supported), found true"},
        {START ", \"bias\": \"some\"}",
         "F: 'bias' must be \"none\", \"lora_only\" or \"all\", found \"some\""},
        {START ", \"modules_to_save\": \"lm_head\"}",
         "F: 'modules_to_save' must be null or a list of names, found \"lm_head\""},
        {START ", \"modules_to_save\": [\"lm_head\", 1]}",
         "F: 'modules_to_save[1]' must be a module's name, found 1"},
        {START ", \"layer_replication\": [[0, 2]]}", "F: 'layer_replication' must be null or empty "
                                                     "(replicated layers are not supported), found "
                                                     "[[0,2]]"},
        {START ", \"trainable_token_indices\": [1]}",
         "F: 'trainable_token_indices' must be null or empty (trained tokens are not supported), "
         "found "
         "[1]"},
        {START ", \"target_parameters\": [\"w\"]}",
         "F: 'target_parameters' must be null or empty (adapters on bare parameters are not "
         "supported), "
         "found [\"w\"]"},
        {START ", \"alora_invocation_tokens\": [7]}",
         "F: 'alora_invocation_tokens' must be null or empty (adapters that tokens switch on are "
         "not "
         "supported), found [7]"},
        {START ", \"use_qalora\": true}",
         "F: 'use_qalora' must be false (QALoRA is not supported), found true"},
        {START ", \"use_bdlora\": {\"n\": 1}}",
         "F: 'use_bdlora' must be false (BD-LoRA is not supported), found {\"n\":1}"},
        {START ", \"megatron_config\": {\"a\": 1}}",
         "F: 'megatron_config' must be null or empty (Megatron's layers are not supported), found "
         "{\"a\":1}"},
        {START ", \"ensure_weight_tying\": 1}",
         "F: 'ensure_weight_tying' must be true or false, found 1"},
        {START ", \"kasa_config\": {}}",
         "F: 'kasa_config' must be null (KaSA changes the base), found {}"},
        {START ", \"enable_lora\": [true, false]}",
         "F: 'enable_lora' must be null (grouped adapters of PEFT 0.2 are not supported), found "
         "[true,false]"},
        {START ", \"magic\": 1}",
         "F: 'magic' must be absent (this key is not understood), found 1"},
        {START ", \"magic\": \"\"}",
         "F: 'magic' must be absent (this key is not understood), found \"\""},
        {START ", \"init_lora_weights\": \"pissa_niter_4\"}",
         "F: 'init_lora_weights' must be true (this method changed the base, which the saved A and "
         "B don't "
         "hold; convert it to plain LoRA with PEFT), found \"pissa_niter_4\""},
        {START ", \"init_lora_weights\": \"novel\"}",
         "F: 'init_lora_weights' must be true, false or a method that is known, found \"novel\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(cases[i].text, LORAC_EFORMAT, cases[i].message);
    }
}

static void no_failed_allocation_goes_unreported(void **state)
{
    (void)state;
    static const char text[] = START ", \"rank_pattern\": {\"q\": 2}, \"layers_to_transform\": 1}";
    long failures[N_FAULTS] = {0};
    for (enum faults_kind kind = FAULTS_MEMORY; kind < N_FAULTS; kind++) {
        for (;; failures[kind]++) {
            struct lorac_peft_config c;
            struct lorac_err err = {0};
            faults_start(kind, failures[kind]);
            enum lorac_status st = lorac_peft_config_parse(&c, text, strlen(text), "F", &err);
            if (!faults_stop()) {
                lorac_peft_config_free(&c);
                break;
            }
            assert_int_equal(st, LORAC_ENOMEM);
            assert_int_equal(strncmp(err.text, "F: no memory", 12), 0);
        }
    }
    assert_int_equal(failures[FAULTS_MEMORY], 3); // names, layers, overrides
    assert_true(failures[FAULTS_FOREIGN] > 20);   // the JSON
}

static void configs_of_real_adapters_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        enum lorac_task task;
    } cases[] = {
        {"qwen2.5-0.5b-instruct-lora", LORAC_TASK_LM},
        {"opt-125m-dpo", LORAC_TASK_LM}, // as a config; no model here has its modules
        {"gpt2-cattn-causal", LORAC_TASK_LM},
        {"gpt2-seqcls", LORAC_TASK_CLASSIFY},
        {"trl-kto-gpt2", LORAC_TASK_LM},
        {"bert-base-lora", LORAC_TASK_CLASSIFY},
        {"distilbert-imdb", LORAC_TASK_CLASSIFY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[128];
        struct lorac_err err = {0};
        struct lorac_peft_config c;
        (void)snprintf(name, sizeof name, "adapters/%s/adapter_config.json", cases[i].folder);
        char *path = data_path(name);
        if (!path) { continue; }
        if (lorac_peft_config_load(&c, path, &err)) { fail_msg("%s", err.text); }
        assert_true(c.options.n_targets > 0);
        assert_int_equal(c.task, cases[i].task);
        lorac_peft_config_free(&c);
        lorac_mem_free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_peft_writes_is_read),
        cmocka_unit_test(what_trains_in_full_is_read),
        cmocka_unit_test(absent_keys_have_pefts_defaults),
        cmocka_unit_test(a_string_is_a_pattern),
        cmocka_unit_test(what_just_reaches_a_limit_is_read),
        cmocka_unit_test(wrong_types_and_ranges_say_what_was_expected),
        cmocka_unit_test(what_is_no_json_says_where),
        cmocka_unit_test(what_is_not_understood_is_refused_by_name),
        cmocka_unit_test(no_failed_allocation_goes_unreported),
        DATA_TEST(configs_of_real_adapters_are_read),
    };
    return data_result(cmocka_run_group_tests(tests, NULL, NULL));
}
