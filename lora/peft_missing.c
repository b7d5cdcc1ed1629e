/* peft_missing.c - folders that are nearly an adapter of PEFT; see peft_files.h. */
#include "lora/peft_files.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

enum { LISTED = 3 };

static bool holds(const char *dir, const char *name)
{
    char *path = lorac_path_join(dir, name);
    bool there = path && lorac_path_exists(path);
    lorac_mem_free(path);
    return there;
}

/* The folders in `dir` that hold an adapter: of a trainer's checkpoints, or adapters with names. */
static void list_adapters(struct lorac_buf *b, const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    if (lorac_dir_list(&names, dir, NULL)) { return; }
    for (size_t i = 0; names[i]; i++) {
        char *path = lorac_path_join(dir, names[i]);
        if (path && lorac_path_is_dir(path) && holds(path, LORAC_PEFT_CONFIG) && n++ < LISTED) {
            lorac_buf_printf(b, "%s%s", n > 1 ? ", " : "", names[i]);
        }
        lorac_mem_free(path);
    }
    if (n > LISTED) { lorac_buf_str(b, ", ..."); }
    lorac_mem_free(names);
}

static enum lorac_status no_config(const char *dir, const char *config, struct lorac_err *err)
{
    struct lorac_buf inside = {0};
    list_adapters(&inside, dir);
    bool model = holds(dir, "config.json") &&
                 (holds(dir, "model.safetensors") || holds(dir, "model.safetensors.index.json"));
    enum lorac_status st = lorac_fail(err, LORAC_EIO, "%s: is missing", config);
    if (inside.n) {
        lorac_err_add(err, "; folders in %s have one: %s", dir, inside.at);
    } else if (model) {
        lorac_err_add(err, "; %s is a whole model, not an adapter: merged already, or the base",
                      dir);
    } else {
        lorac_err_add(err, "; expected a folder of PEFT's, as save_pretrained() writes it");
    }
    lorac_buf_free(&inside);
    return st;
}

enum lorac_status lorac_peft_missing(const char *dir, const char *config, const char *tensors,
                                     struct lorac_err *err)
{
    static const struct {
        const char *name, *what;
    } others[] = {
        {"adapter_model.bin",
         "a pickle, which is a program and is not run; load it in PEFT and save "
         "it again to get " LORAC_PEFT_TENSORS},
        {"pytorch_lora_weights.safetensors", "of diffusers, for image models"},
        {"adapter_model.pt", "a pickle, which is a program and is not run; save it with PEFT"},
        {"adapter_0.pt", "a pickle of torchtune, a program that is not run; save it as PEFT does"},
        {"lit_model.pth.lora",
         "of LitGPT: merge it there (litgpt merge_lora), and convert the model"},
    };
    bool has_tensors = lorac_path_exists(tensors);
    if (!has_tensors && holds(dir, "adapters.safetensors")) {
        return lorac_fail(
            err, LORAC_ENOTSUP,
            "%s: is an adapter of mlx-lm (adapters.safetensors), not of PEFT; in that "
            "folder, mlx_lm.fuse --model BASE --adapter-path . --save-path ../fused puts it "
            "into a model that is read (--dequantize, where BASE is quantised)",
            dir);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others && !has_tensors; i++) {
        if (!holds(dir, others[i].name)) { continue; }
        return lorac_fail(err, LORAC_ENOTSUP, "%s/%s: %s", dir, others[i].name, others[i].what);
    }
    if (!lorac_path_is_dir(dir)) { return lorac_fail(err, LORAC_EIO, "%s: is no folder", dir); }
    if (!lorac_path_exists(config)) { return no_config(dir, config, err); }
    return LORAC_OK;
}
