/*
 * Merging a head that gives labels. What is promised:
 *   - the result is a checkpoint of the task: its class, as many labels, their names; it opens as
 *     such and gives the logits of PEFT's merge;
 *   - its tensors are the body's, under the names of a model with that head, and the head's; those
 *     of the old head are gone, from shards and their index, too;
 *   - the mean and deviation of a regression's targets stand in the config;
 *   - a head that no adapter brings is refused, and whatever fails, nothing is left.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODELS LORAC_TESTS_DIR "/golden/models/"
#define HEADS LORAC_TESTS_DIR "/golden/heads/"

static struct lorac_device dev;
static const char *const names[] = {"calm", "an \"angry\" one", "c", "d", "e"};

static struct lorac_model *open_for(const char *folder, enum lorac_task task, size_t labels)
{
    struct lorac_err err = {0};
    struct lorac_model *m = NULL;
    const struct lorac_model_options o = {.task = task, .labels = labels};
    if (lorac_model_open_for(&m, &dev, folder, &o, &err)) { fail_msg("%s", err.text); }
    return m;
}

static void give(struct lorac_adapter *a, const struct lorac_saved *saved)
{
    struct lorac_buf json = {0};
    lorac_saved_write(&json, saved);
    lorac_mem_free(a->template_json);
    a->template_json = json.at;
}

static void merge(const char *out, const struct lorac_model *m, const struct lorac_adapter *a)
{
    struct lorac_err err = {0};
    struct lorac_stack s = {1, {a}, {1.0F}};
    if (lorac_merge(out, m, &s, NULL, &err)) { fail_msg("%s", err.text); }
}

static void expect_text(const char *folder, const char *file, const char *text)
{
    size_t n = 0;
    char *is = tiny_read_in(folder, file, &n);
    if (!strstr(is, text)) { fail_msg("no %s in %s", text, is); }
    lorac_mem_free(is);
}

/* ---- the goldens ---- */

static void merged_it_gives_the_logits_of_pefts_merge(void **state)
{
    (void)state;
    const char *out = tiny_path("merged");
    for (size_t i = 0; golden_heads[i]; i++) {
        struct lorac_err err = {0};
        struct golden g;
        struct lorac_adapter *a = NULL;
        size_t n = 0;
        size_t n_want = 0;
        golden_open(&g, golden_heads[i]);
        struct lorac_model *m = golden_open_model(&g, &dev);
        if (lorac_peft_load(&a, m, golden_path(&g, "adapter"), false, &err)) {
            fail_msg("%s", err.text);
        }
        give(a, &(struct lorac_saved){
                    .prompt = "", .completion = "", .labels = names, .K = g.options.labels});
        merge(out, m, a);
        struct lorac_model *got = open_for(out, g.options.task, 0);
        assert_int_equal(got->config.labels, g.options.labels);
        assert_null(lorac_model_untrained(got, NULL));
        bool texts = g.options.task == LORAC_TASK_CLASSIFY;
        float *is = texts ? passes_logits(got, NULL, g.batch, &n)
                          : passes_all_logits(got, NULL, g.batch, &n);
        const float *want = golden_tensor(&g, "merged_logits", &n_want);
        assert_int_equal(n, n_want);
        near_all(golden_heads[i], is, want, n, 1e-5F * golden_largest(want, n), 0.0F);
        expect_text(out, "config.json", "\"id2label\": {\n    \"0\": \"calm\"");
        expect_text(out, "config.json", "\"label2id\": {\n    \"calm\": 0");
        lorac_mem_free(is);
        lorac_model_close(got);
        lorac_adapter_free(a);
        lorac_model_close(m);
        golden_close(&g);
        assert_int_equal(lorac_dir_remove(out, NULL), LORAC_OK);
    }
}

/* ---- its tensors ---- */

static struct lorac_adapter *fresh(const struct lorac_model *m)
{
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    const struct lorac_adapter_options o = {.rank = 2, .alpha = 4, .seed = 3};
    if (lorac_adapter_new(&a, m, &o, &err)) { fail_msg("%s", err.text); }
    return a;
}

static void the_body_stays_and_the_old_head_goes(void **state)
{
    (void)state;
    static const struct {
        const char *base, *body, *head, *gone, *class;
        enum lorac_task task;
    } cases[] = {
        {"llama", "model.embed_tokens.weight", "score.weight", "lm_head.weight",
         "LlamaForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"llama", "model.norm.weight", "score.bias", "lm_head.weight",
         "LlamaForTokenClassification", LORAC_TASK_TAG},
        {"gpt2-bare", "transformer.h.1.ln_1.weight", "score.weight", "h.0.attn.bias",
         "GPT2ForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"neox-sequential", "gpt_neox.embed_in.weight", "score.weight", "embed_out.weight",
         "GPTNeoXForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"gemma3", "model.norm.weight", "score.weight", "lm_head.weight",
         "Gemma3TextForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"../heads/bert", "bert.embeddings.LayerNorm.weight", "classifier.bias",
         "bert.pooler.dense.weight", "BertForTokenClassification", LORAC_TASK_TAG},
        {"../heads/bert", "bert.pooler.dense.weight", "classifier.bias", "pooler.dense.weight",
         "BertForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"../heads/bert-pooler", "bert.embeddings.LayerNorm.weight", "bert.pooler.dense.weight",
         "cls.predictions.bias", "BertForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"bert-old", "bert.embeddings.LayerNorm.weight", "classifier.weight",
         "bert.embeddings.LayerNorm.gamma", "BertForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"../heads/roberta", "roberta.embeddings.LayerNorm.weight", "classifier.out_proj.bias",
         "lm_head.dense.weight", "RobertaForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"../heads/distilbert", "distilbert.embeddings.LayerNorm.weight", "pre_classifier.bias",
         "vocab_transform.weight", "DistilBertForSequenceClassification", LORAC_TASK_CLASSIFY},
        {"llama-sharded", "model.norm.weight", "score.weight", "lm_head.weight",
         "LlamaForSequenceClassification", LORAC_TASK_CLASSIFY},
    };
    const char *out = tiny_path("body");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[600];
        (void)snprintf(folder, sizeof folder, "%s%s", MODELS, cases[i].base);
        struct lorac_model *m = open_for(folder, cases[i].task, 3);
        struct lorac_adapter *a = fresh(m);
        merge(out, m, a);
        expect_text(out, "config.json", cases[i].class);
        expect_text(out, "config.json", "\"2\": \"LABEL_2\"");
        struct lorac_model *got = open_for(out, cases[i].task, 0);
        assert_non_null(lorac_checkpoint_find(got->files, cases[i].body));
        assert_non_null(lorac_checkpoint_find(got->files, cases[i].head));
        assert_null(lorac_checkpoint_find(got->files, cases[i].gone));
        lorac_model_close(got);
        lorac_adapter_free(a);
        lorac_model_close(m);
        assert_int_equal(lorac_dir_remove(out, NULL), LORAC_OK);
    }
}

/* transformers' own saving keeps one of a tied pair's names: of some checkpoints the output's. */
static void a_tied_matrix_under_the_outputs_name_is_the_embedding(void **state)
{
    (void)state;
    enum { MOST = 64 };
    struct lorac_tensor_spec specs[MOST];
    struct lorac_err err = {0};
    struct lorac_checkpoint *c = NULL;
    const char *base = tiny_path("output");
    const char *out = tiny_path("output-merged");
    char *config = lorac_path_join(base, "config.json");
    char *to = lorac_path_join(base, "model.safetensors");
    size_t n = 0;
    assert_int_equal(lorac_dir_make(base, NULL), LORAC_OK);
    assert_int_equal(lorac_file_copy(config, HEADS "qwen2/config.json", NULL), LORAC_OK);
    assert_int_equal(lorac_checkpoint_open(&c, HEADS "qwen2", &err), LORAC_OK);
    for (; n < lorac_checkpoint_count(c); n++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, n);
        bool embed = strcmp(t->name, "model.embed_tokens.weight") == 0;
        assert_true(n < MOST);
        specs[n] = (struct lorac_tensor_spec){.name = embed ? "lm_head.weight" : t->name,
                                              .dtype = t->dtype,
                                              .n_dims = t->n_dims,
                                              .dims = {t->dims[0], t->dims[1]},
                                              .data = t->data};
    }
    assert_int_equal(lorac_safetensors_write(to, specs, n, NULL, 0, NULL, NULL, &err), LORAC_OK);
    struct lorac_model *m = open_for(base, LORAC_TASK_CLASSIFY, 4);
    struct lorac_adapter *a = fresh(m);
    merge(out, m, a);
    struct lorac_model *got = open_for(out, LORAC_TASK_CLASSIFY, 0);
    const struct lorac_tensor *is = lorac_checkpoint_find(got->files, "model.embed_tokens.weight");
    const struct lorac_tensor *was = lorac_checkpoint_find(c, "model.embed_tokens.weight");
    assert_non_null(is);
    assert_memory_equal(is->data, was->data, was->n * sizeof(float));
    assert_null(lorac_checkpoint_find(got->files, "lm_head.weight"));
    lorac_model_close(got);
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_checkpoint_close(c);
    lorac_mem_free(config);
    lorac_mem_free(to);
}

static void the_scale_of_a_regression_is_told(void **state)
{
    (void)state;
    static const char *const target[] = {"stars"};
    const char *out = tiny_path("stars");
    struct lorac_model *m = open_for(HEADS "gpt2", LORAC_TASK_CLASSIFY, 1);
    struct lorac_adapter *a = fresh(m);
    give(a, &(struct lorac_saved){.prompt = "{text}",
                                  .completion = "",
                                  .labels = target,
                                  .K = 1,
                                  .problem = "regression",
                                  .mean = 3.25,
                                  .deviation = 0.5});
    merge(out, m, a);
    expect_text(out, "config.json", "\"problem_type\": \"regression\"");
    expect_text(out, "config.json", "\"target_mean\": 3.25");
    expect_text(out, "config.json", "\"target_deviation\": 0.5");
    expect_text(out, "config.json", "\"id2label\": {\n    \"0\": \"stars\"\n  }");
    expect_text(out, "lorac.md", "* 0.5 + 3.25");
    lorac_adapter_free(a);
    lorac_model_close(m);
}

/* ---- what is refused, and what fails ---- */

static void a_head_that_no_adapter_brings_is_refused(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    const char *out = tiny_path("none");
    struct lorac_model *m = open_for(HEADS "llama", LORAC_TASK_CLASSIFY, 3);
    struct lorac_adapter *a = fresh(m);
    a->weight_at[m->head] = -1;
    struct lorac_stack s = {1, {a}, {1.0F}};
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text + strlen(m->dir),
                        ": has no 'score.weight', and no adapter brings it: without it there is no "
                        "head for classifying texts");
    assert_false(lorac_path_exists(out));
    lorac_adapter_free(a);
    lorac_model_close(m);
}

struct merging {
    const char *out;
    struct lorac_model *m;
    const struct lorac_stack *s;
};

static enum lorac_status go(void *self, struct lorac_err *err)
{
    const struct merging *x = self;
    return lorac_merge(x->out, x->m, x->s, NULL, err);
}

static void opens(void *self)
{
    const struct merging *x = self;
    lorac_model_close(open_for(x->out, LORAC_TASK_CLASSIFY, 0));
}

static void whatever_fails_or_is_wrong_nothing_is_left(void **state)
{
    (void)state;
    char *home = lorac_path_join(tiny_dir(), "fault");
    char *out = lorac_path_join(home, "m");
    struct lorac_model *m = open_for(MODELS "llama-sharded", LORAC_TASK_CLASSIFY, 3);
    struct lorac_adapter *a = fresh(m);
    give(a, &(struct lorac_saved){.prompt = "", .completion = "", .labels = names, .K = 3});
    struct lorac_stack s = {1, {a}, {1.0F}};
    struct merging x = {out, m, &s};
    faults_meet_folder(&(struct faults_folder){home, out, go, opens, &x, 1});
    faults_wrong_bytes(&(struct faults_folder){home, out, go, opens, &x, 997});
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(home);
    lorac_mem_free(out);
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    return 0;
}

static int tear_down(void **state)
{
    lorac_device_close(&dev);
    return tiny_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_it_gives_the_logits_of_pefts_merge),
        cmocka_unit_test(the_body_stays_and_the_old_head_goes),
        cmocka_unit_test(a_tied_matrix_under_the_outputs_name_is_the_embedding),
        cmocka_unit_test(the_scale_of_a_regression_is_told),
        cmocka_unit_test(a_head_that_no_adapter_brings_is_refused),
        cmocka_unit_test(whatever_fails_or_is_wrong_nothing_is_left),
    };
    return cmocka_run_group_tests_name("merge_head", tests, set_up, tear_down);
}
