/*
 * peft_task.c - what an adapter needs its model opened for: the task, and how many labels its head
 * has.
 *
 *   adapter_config.json          task_type: SEQ_CLS, TOKEN_CLS, CAUSAL_LM, FEATURE_EXTRACTION or
 *                                null
 *   adapter_model.safetensors    base_model.model.score.weight (K,C), or a classifier's
 */
#include "lora/peft_files.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/peft_config.h"
#include "lora/peft_names.h"

#include <stdio.h>
#include <string.h>

/* What transformers calls the last layer of a head. */
static const char *const outputs[] = {"score", "classifier", "classifier.out_proj"};
static const char expected[] = "score, classifier or classifier.out_proj";

/* The weight (K,...) of the last layer of a head; NULL: there is none. */
static const struct lorac_tensor *find_head(const struct lorac_checkpoint *files)
{
    const struct lorac_tensor *t = NULL;
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs && !t; i++) {
        char name[LORAC_NAME_SIZE];
        (void)snprintf(name, sizeof name, "base_model.model.%s.weight", outputs[i]);
        t = lorac_checkpoint_find(files, name);
    }
    return t;
}

/* What the two files say together. */
static enum lorac_status read_task(struct lorac_model_options *o, const struct lorac_peft_config *c,
                                   const struct lorac_checkpoint *files, const char *path,
                                   struct lorac_err *err)
{
    const struct lorac_tensor *head = find_head(files);
    bool labelled = lorac_task_is_labelled(c->task);
    o->task = c->task;
    o->labels = 0;
    if (labelled && !head) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: holds no head (%s), though task_type of %s asks for one: the adapter "
            "was saved without the one that it was trained with, and another would "
            "give other labels",
            path, expected, LORAC_PEFT_CONFIG);
    }
    if (!labelled && head) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: holds a head ('%s'), but task_type of %s is %s; expected SEQ_CLS, for "
            "labels of texts, or TOKEN_CLS, of tokens",
            path, head->name, LORAC_PEFT_CONFIG,
            !c->has_task                 ? "null"
            : c->task == LORAC_TASK_BODY ? "FEATURE_EXTRACTION"
                                         : "CAUSAL_LM");
    }
    if (!head) { return LORAC_OK; }
    if (head->n_dims != 2 || head->dims[0] == 0) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: tensor '%s' is no matrix with a row for each label", path,
                          head->name);
    }
    o->labels = head->dims[0];
    return LORAC_OK;
}

/* The template names as many labels as the head has outputs. */
static enum lorac_status check_labels(const struct lorac_checkpoint *files, size_t K,
                                      const char *path, struct lorac_err *err)
{
    struct lorac_saved *saved = NULL;
    const char *json = lorac_checkpoint_metadata(files, LORAC_PEFT_TEMPLATE);
    enum lorac_status st = lorac_saved_read(&saved, json, err);
    if (st) { lorac_err_prefix(err, "%s: ", path); }
    if (saved && saved->K && saved->K != K) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: names %zu labels, but its head has %zu", path,
                        saved->K, K);
    }
    lorac_mem_free(saved);
    return st;
}

enum lorac_status lorac_peft_task(struct lorac_model_options *out, const char *dir,
                                  struct lorac_err *err)
{
    struct lorac_peft_config config = {.names = NULL};
    struct lorac_checkpoint *files = NULL;
    char *config_path = lorac_path_join(dir, LORAC_PEFT_CONFIG);
    char *path = lorac_path_join(dir, LORAC_PEFT_TENSORS);
    enum lorac_status st = config_path && path
                               ? lorac_peft_missing(dir, config_path, path, err)
                               : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    if (!st) { st = lorac_peft_config_load(&config, config_path, err); }
    if (!st) { st = lorac_checkpoint_open(&files, path, err); }
    if (!st) { st = lorac_peft_names(files, path, err); }
    if (!st) { st = read_task(out, &config, files, path, err); }
    lorac_checkpoint_close(files);
    lorac_peft_config_free(&config);
    lorac_mem_free(config_path);
    lorac_mem_free(path);
    return st;
}

enum lorac_status lorac_peft_check_task(const struct lorac_peft_config *c,
                                        const struct lorac_checkpoint *files, const char *path,
                                        const struct lorac_model *m, struct lorac_err *err)
{
    struct lorac_model_options o = {.task = LORAC_TASK_LM};
    const struct lorac_config *is = &m->config;
    enum lorac_status st = read_task(&o, c, files, path, err);
    bool labelled = lorac_task_is_labelled(is->task);
    bool bare = !c->has_task && !o.labels; // says nothing, and may sit on a head of the base's own
    bool fits = o.task == is->task && o.labels == (labelled ? is->labels : 0);
    if (!st && fits && o.labels) { st = check_labels(files, o.labels, path, err); }
    if (st || bare || fits) { return st; }
    if (!o.labels && !labelled) { return LORAC_OK; } // what writes, and what embeds, is one body
    char with[40] = "";
    if (labelled) { (void)snprintf(with, sizeof with, ", with %zu labels", is->labels); }
    if (!o.labels) {
        bool writes = o.task == LORAC_TASK_LM;
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: is of a model that %s and has no head; the model was opened for "
                          "%s%s; give an adapter with such a head, or ask this one %s",
                          path,
                          writes ? "writes text (task_type CAUSAL_LM)"
                                 : "embeds texts (task_type FEATURE_EXTRACTION)",
                          lorac_task_text(is->task), with,
                          writes ? "to write (objective: causal_lm)" : "for vectors (lorac embed)");
    }
    const char *own = o.task == LORAC_TASK_TAG ? "tag" : "classify, multilabel or regress";
    (void)lorac_fail(err, LORAC_EFORMAT,
                     "%s: has a head for %s, with %zu labels; the model was opened for %s%s", path,
                     lorac_task_text(o.task), o.labels, lorac_task_text(is->task), with);
    if (o.task == is->task) {
        lorac_err_add(err, "; its labels are those that it was trained with");
    } else if (labelled) {
        lorac_err_add(err, "; its objective is %s", own);
    } else if (is->task == LORAC_TASK_BODY) {
        lorac_err_add(err, "; give one without a head (task_type FEATURE_EXTRACTION)");
    } else {
        lorac_err_add(err, "; give one that writes, or ask this one for labels (objective: %s)",
                      own);
    }
    return LORAC_EFORMAT;
}
