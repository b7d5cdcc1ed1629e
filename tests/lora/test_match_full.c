/*
 * Which modules train in full. What is promised:
 *   - entries are whole components of names; of a linear layer weight and bias train, of a norm its
 *     gain;
 *   - an entry that matches nothing, a block, or more than PEFT's loaders would take by it is an
 *     error that says what to write;
 *   - a module that trains in full gets no pair, and a target that only names such modules is an
 *     error;
 *   - a tied pair needs adapter.tie where it matters, and refuses it elsewhere;
 *   - biases train as asked, and asking where there are none is an error;
 *   - PEFT's own files are matched by PEFT's rule.
 */
#include "lora/match.h"
#include "tests/support/modules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { L = 2, N = 7 * L + 1, ALL = N + 2 * L + 2 };

static struct lorac_model model;
static struct lorac_match match[ALL];

static const struct lorac_match *at(size_t layer, const char *kind)
{
    return &match[modules_layer(&model, layer, kind)];
}

#define LIST(...)                                     \
    .train_also = (const char *const[]){__VA_ARGS__}, \
    .n_train_also = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)
#define TARGETS(...)                               \
    .targets = (const char *const[]){__VA_ARGS__}, \
    .n_targets = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void matches(struct lorac_adapter_options o)
{
    struct lorac_err err = {0};
    o.rank = 4;
    o.alpha = 8;
    if (lorac_match_modules(match, &model, &o, &err)) { fail_msg("%s", err.text); }
}

static void expect(struct lorac_adapter_options o, const char *text)
{
    struct lorac_err err = {0};
    o.rank = 4;
    o.alpha = 8;
    enum lorac_status st = lorac_match_modules(match, &model, &o, &err);
    assert_string_equal(err.text, text);
    assert_int_equal(st, LORAC_EUSER);
}

static size_t weights(void)
{
    size_t n = 0;
    for (size_t i = 0; i < ALL; i++) {
        n += match[i].weight;
    }
    return n;
}

static size_t vectors(void)
{
    size_t n = 0;
    for (size_t i = 0; i < ALL; i++) {
        n += match[i].vector;
    }
    return n;
}

static size_t pairs(void)
{
    size_t n = 0;
    for (size_t i = 0; i < ALL; i++) {
        n += match[i].rank > 0;
        assert_true(match[i].rank == 0 || !match[i].weight);
    }
    return n;
}

static void entries_are_whole_components(void **state)
{
    (void)state;
    matches((struct lorac_adapter_options){LIST("q_proj", "embed_tokens")});
    assert_int_equal(weights(), L + 1);
    assert_int_equal(vectors(), L); // the biases of q_proj
    assert_int_equal(pairs(), 6 * L);
    assert_true(at(0, "self_attn.q_proj")->weight && at(0, "self_attn.q_proj")->vector &&
                match[model.embed].weight);
    matches((struct lorac_adapter_options){LIST("layers.1.mlp.up_proj", "lm_head", "model.norm")});
    assert_int_equal(weights(), 2);
    assert_int_equal(vectors(), 1);
    assert_true(at(1, "mlp.up_proj")->weight && match[model.head].weight &&
                match[modules_find(&model, "model.norm")].vector);
    matches((struct lorac_adapter_options){LIST("input_layernorm")});
    assert_int_equal(weights(), 0);
    assert_int_equal(vectors(), L);
    matches((struct lorac_adapter_options){.train_all = true});
    assert_int_equal(weights(), N + 1);
    assert_int_equal(vectors(), 2 * L + 2 * L + 1);
    assert_int_equal(pairs(), 0);
}

static void an_entry_that_takes_nothing_a_block_or_too_much_says_what_to_write(void **state)
{
    (void)state;
    expect((struct lorac_adapter_options){LIST("lm_haed")},
           "adapter.train_also: 'lm_haed' matches no module; the nearest are lm_head");
    expect((struct lorac_adapter_options){LIST("model.norms")},
           "adapter.train_also: 'model.norms' matches no module; the nearest are model.norm");
    expect((struct lorac_adapter_options){LIST("q_proj", "mlp")},
           "adapter.train_also: 'mlp' is a block; write the modules in it: mlp.gate_proj, "
           "mlp.up_proj, mlp.down_proj");
    expect((struct lorac_adapter_options){LIST("layers.1")},
           "adapter.train_also: 'layers.1' is a block; write the modules in it: "
           "layers.1.input_layernorm, layers.1.self_attn.q_proj, layers.1.self_attn.k_proj, "
           "layers.1.self_attn.v_proj, layers.1.self_attn.o_proj, "
           "layers.1.post_attention_layernorm, layers.1.mlp.gate_proj, layers.1.mlp.up_proj, "
           "layers.1.mlp.down_proj");
    expect(
        (struct lorac_adapter_options){LIST("norm")},
        "adapter.train_also: 'norm' is too much: PEFT compares bare ends of names and would take "
        "'model.layers.0.input_layernorm' by it, too; write model.norm");
    expect(
        (struct lorac_adapter_options){LIST("proj")},
        "adapter.train_also: 'proj' is too much: PEFT compares bare ends of names and would take "
        "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj by it; write those you "
        "mean");
    expect(
        (struct lorac_adapter_options){LIST("attn")},
        "adapter.train_also: 'attn' is too much: PEFT compares bare ends of names and would take "
        "q_proj, k_proj, v_proj, o_proj by it; write those you mean");
}

static void a_module_trains_in_full_or_gets_a_pair(void **state)
{
    (void)state;
    matches((struct lorac_adapter_options){TARGETS("self_attn.q_proj", "k_proj"),
                                           LIST("layers.0.self_attn.q_proj")});
    assert_int_equal(pairs(), 2 * L - 1);
    expect(
        (struct lorac_adapter_options){TARGETS("q_proj", "k_proj"), LIST("k_proj")},
        "adapter.targets: what 'k_proj' matches trains in full by adapter.train_also and gets no "
        "adapter; leave it out of one of the two");
    expect((struct lorac_adapter_options){LIST("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                               "up_proj", "down_proj")},
           "adapter.targets: no module of the model is a target beside those of "
           "adapter.train_also");
    expect((struct lorac_adapter_options){TARGETS("q_proj"), .train_all = true},
           "adapter.train_also: all leaves no module to adapter.targets, adapter.exclude, "
           "adapter.layers, adapter.overrides or adapter.bias");
}

static void a_tied_pair_needs_tie_where_it_matters(void **state)
{
    (void)state;
    model.config.tie = true;
    expect((struct lorac_adapter_options){LIST("embed_tokens")},
           "adapter.tie: missing: embedding and output of the base are one matrix, and "
           "adapter.train_also takes 'model.embed_tokens'; write keep (they stay one, which trains "
           "for both) or untie (each goes its own way)");
    expect((struct lorac_adapter_options){LIST("q_proj"), .tie = LORAC_TIE_KEEP},
           "adapter.tie: has no effect: neither the embedding nor the output trains in full; leave "
           "it out");
    matches((struct lorac_adapter_options){LIST("lm_head"), .tie = LORAC_TIE_KEEP});
    assert_true(match[model.head].weight && match[model.embed].weight);
    matches((struct lorac_adapter_options){LIST("embed_tokens"), .tie = LORAC_TIE_KEEP});
    assert_true(match[model.head].weight && match[model.embed].weight);
    matches((struct lorac_adapter_options){LIST("lm_head"), .tie = LORAC_TIE_UNTIE});
    assert_true(match[model.head].weight && !match[model.embed].weight);
    matches((struct lorac_adapter_options){.train_all = true, .tie = LORAC_TIE_UNTIE});
    assert_true(match[model.head].weight && match[model.embed].weight);
    model.config.tie = false;
    expect((struct lorac_adapter_options){LIST("lm_head"), .tie = LORAC_TIE_UNTIE},
           "adapter.tie: has no effect: the base's embedding and output are two matrices; leave it "
           "out");
}

static void biases_train_as_asked(void **state)
{
    (void)state;
    matches((struct lorac_adapter_options){.bias = LORAC_BIAS_ALL, TARGETS("q_proj")});
    assert_int_equal(vectors(), 2 * L);
    assert_int_equal(weights(), 0);
    matches(
        (struct lorac_adapter_options){.bias = LORAC_BIAS_LORA_ONLY, TARGETS("q_proj", "k_proj")});
    assert_int_equal(vectors(), L);
    assert_true(at(0, "self_attn.q_proj")->vector && !at(0, "self_attn.o_proj")->vector);
    expect((struct lorac_adapter_options){.bias = LORAC_BIAS_LORA_ONLY, TARGETS("k_proj")},
           "adapter.bias: lora_only, but no module with an adapter has a bias");
    modules_free(&model);
    model = modules_llama(L, false);
    expect((struct lorac_adapter_options){.bias = LORAC_BIAS_ALL},
           "adapter.bias: all, but no module of the base has a bias");
    modules_free(&model);
    model = modules_llama(L, true);
}

/* Of a file of PEFT's: names of other models' modules are common, ends are bare, blocks are whole.
 */
static void files_are_matched_by_pefts_rule(void **state)
{
    (void)state;
    static const struct lorac_match_words words = {.targets = "t", .code = LORAC_EFORMAT};
    struct lorac_err err = {0};
    struct lorac_adapter_options o = {.rank = 4, .alpha = 8, LIST("norm", "mlp", "classifier")};
    if (lorac_match_as(match, &model, &o, &words, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(weights(), 3 * L);
    assert_int_equal(vectors(), 2 * L + 1);
    assert_int_equal(pairs(), 4 * L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_whole_components),
        cmocka_unit_test(an_entry_that_takes_nothing_a_block_or_too_much_says_what_to_write),
        cmocka_unit_test(a_module_trains_in_full_or_gets_a_pair),
        cmocka_unit_test(a_tied_pair_needs_tie_where_it_matters),
        cmocka_unit_test(biases_train_as_asked),
        cmocka_unit_test(files_are_matched_by_pefts_rule),
    };
    model = modules_llama(L, true);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    modules_free(&model);
    return failed;
}
