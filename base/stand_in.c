/* stand_in.c - see stand_in.h. */
#include "base/stand_in.h"

#include "base/core/file.h"
#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static bool ends(const char *s, const char *with)
{
    size_t n = strlen(s);
    size_t k = strlen(with);
    return n >= k && strcmp(s + n - k, with) == 0;
}

const char *lorac_stand_in_bytes(const unsigned char *bytes, size_t n)
{
    static const struct {
        const char *magic, *what;
    } kinds[] = {
        {"PK\003\004", " (a pickle in a zip, as torch.save writes it: no safetensors file)"},
        {"\x80\x02", " (a pickle, as torch.save writes it: no safetensors file)"},
        {"GGUF", " (a GGUF file: no safetensors file)"},
        {"\x89HDF", " (an HDF5 file: no safetensors file)"},
        {"\x1f\x8b", " (a file that gzip packed: unpack it)"},
        {"<", " (a page of the web: the download went wrong)"},
        {"{", " (JSON: no safetensors file, or a download that went wrong)"},
    };
    enum { LENGTH = 8 };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t k = strlen(kinds[i].magic);
        if (n >= k && memcmp(bytes, kinds[i].magic, k) == 0) { return kinds[i].what; }
    }
    return n > LENGTH && bytes[LENGTH] != '{' ? " (this is no safetensors file)" : "";
}

/* ---- folders ---- */

/* LORAC_EFORMAT where the file is a Git LFS pointer: what it stands for comes first. */
static enum lorac_status check_pointer(const char *dir, const char *name, struct lorac_err *err)
{
    struct lorac_map map = {0};
    char path[LORAC_PATH];
    enum lorac_status st = LORAC_OK;
    if (!lorac_path_is_dir(lorac_path_in(path, dir, name))) {
        st = lorac_map_open(&map, path, err);
    }
    if (!st) { st = lorac_lfs_check(map.data, map.size, path, err); }
    lorac_map_close(&map);
    return st;
}

/* Kinds of files with weights that are not read, the likeliest first. */
static const struct kind {
    const char *begin, *end; // of a name
    const char *what;        // follows the name
} kinds[] = {
    {"model-0", ".safetensors",
     "is one of several files, which need model.safetensors.index.json beside them: download that, "
     "too"},
    {"adapter_model", ".safetensors", "is an adapter, not a model: give its base"},
    {"adapters", ".safetensors", "is an adapter of mlx-lm, not a model: give its base"},
    {"consolidated", ".safetensors",
     "has Mistral's own names of tensors: take the files of the same model for transformers"},
    {"", ".safetensors", "has another name: if it is the whole model, call it model.safetensors"},
    {"pytorch_model", ".bin",
     "is a pickle, a program that is not run; in that folder, python -c \"from transformers import "
     "AutoModelForCausalLM as M; M.from_pretrained('.', torch_dtype='auto').save_pretrained('.')\" "
     "writes model.safetensors"},
    {"", ".pth",
     "is a pickle, a program that is not run: take the folder of this model that transformers "
     "reads"},
    {"", ".pt", "is a pickle, a program that is not run: save the model with save_pretrained()"},
    {"", ".ckpt", "is a pickle, a program that is not run: save the model with save_pretrained()"},
    {"", ".bin",
     "may be a pickle, a program that is not run: save the model with save_pretrained()"},
    {"", ".gguf", "is a GGUF file: take the folder with safetensors that it was made from"},
    {"", ".npz", "is of an old mlx: take the folder that it was made from"},
    {"", ".h5",
     "is of TensorFlow: take the folder with safetensors, or convert it with transformers"},
    {"", ".msgpack",
     "is of Flax: take the folder with safetensors, or convert it with transformers"},
    {"", ".onnx", "is of ONNX: take the folder with safetensors that it was made from"},
    {"", ".incomplete", "is a download that was not finished: start it again"},
};

enum lorac_status lorac_stand_in_folder(const char *dir, const char *single, const char *index,
                                        struct lorac_err *err)
{
    char **names = NULL;
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    if (st) { return st; }
    const char *name = NULL;
    const struct kind *k = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !name; i++) {
        k = &kinds[i];
        for (size_t j = 0; names[j] && !name; j++) {
            if (begins(names[j], k->begin) && ends(names[j], k->end)) { name = names[j]; }
        }
    }
    if (name) { st = check_pointer(dir, name, err); }
    if (!st) {
        st = lorac_fail(err, name ? LORAC_ENOTSUP : LORAC_EUSER,
                        "%s: holds neither %s nor %s%s%s%s%s", dir, single, index, name ? "; " : "",
                        name ? name : "", name ? " " : "", name ? k->what : "");
    }
    lorac_mem_free(names);
    return st;
}

static const char write_json[] =
    "in that folder, python -c \"from transformers import AutoTokenizer as T; "
    "T.from_pretrained('.').save_pretrained('.')\" writes tokenizer.json";
static const struct kind tokenizers[] = {
    {"tokenizer.model", "", "is SentencePiece's"},
    {"spiece.model", "", "is SentencePiece's"},
    {"tekken.json", "", "is Mistral's"},
    {"", ".tiktoken", "is tiktoken's"},
};

enum lorac_status lorac_stand_in_tokenizer(const char *dir, const char *file, struct lorac_err *err)
{
    char **names = NULL;
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    if (st) { return st; }
    st = lorac_fail(
        err, LORAC_EIO,
        "%s: is missing, expected this file, or vocab.json and merges.txt, or vocab.txt", file);
    bool any = false;
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers && !any; i++) {
        const struct kind *k = &tokenizers[i];
        for (size_t j = 0; names[j] && !any; j++) {
            any = begins(names[j], k->begin) && ends(names[j], k->end);
            enum lorac_status pointer = any ? check_pointer(dir, names[j], err) : LORAC_OK;
            if (pointer) { st = pointer; }
            if (any && !pointer) {
                lorac_err_add(err, "; %s %s: %s", names[j], k->what, write_json);
            }
        }
    }
    if (!any) {
        lorac_err_add(err,
                      "; copy tokenizer.json and tokenizer_config.json from the model that this "
                      "one was made from");
    }
    lorac_mem_free(names);
    return st;
}

/* ---- quantised weights ---- */

static const char float_them[] =
    "take the model that they were made from, or, in that folder, python -c \"from transformers "
    "import AutoModelForCausalLM as M; "
    "M.from_pretrained('.').dequantize().save_pretrained('../float')\"";
static const char take_the_original[] = "take the model that they were made from";

/* "4 bits", "8 bits" as the several methods write it; or "". */
static void bits_of(char text[40], const struct lorac_json *q)
{
    json_t *bits = json_object_get(q->value, "bits");
    long long n = json_integer_value(bits);
    if (json_is_true(json_object_get(q->value, "load_in_4bit"))) { n = 4; }
    if (json_is_true(json_object_get(q->value, "load_in_8bit"))) { n = 8; }
    text[0] = '\0';
    if (n > 0 && n < 64) { (void)snprintf(text, 40, ", %lld bits", n); }
}

enum lorac_status lorac_stand_in_quantised(const struct lorac_json *root, struct lorac_err *err)
{
    struct lorac_json q = lorac_json_get(root, "quantization_config");
    struct lorac_json mlx = lorac_json_get(root, "quantization");
    char bits[40];
    if (!q.value && !mlx.value) { return LORAC_OK; }
    if (mlx.value) { // which also writes it as quantization_config
        bits_of(bits, &mlx);
        return lorac_fail(
            err, LORAC_ENOTSUP,
            "%s: 'quantization' says that the weights are quantised (mlx%s), which is "
            "not supported; %s, or, in that folder, mlx_lm.convert --hf-path . "
            "--mlx-path ../float --dequantize",
            root->file, bits, take_the_original);
    }
    const char *method = json_string_value(json_object_get(q.value, "quant_method"));
    bool bnb =
        method ? begins(method, "bitsandbytes") : json_object_get(q.value, "load_in_4bit") != NULL;
    bits_of(bits, &q);
    return lorac_fail(err, LORAC_ENOTSUP,
                      "%s: 'quantization_config' says that the weights are quantised (%.40s%s), "
                      "which is not supported; %s",
                      root->file,
                      method ? method
                      : bnb  ? "bitsandbytes"
                             : "no method is named",
                      bits, bnb ? float_them : take_the_original);
}

const char *lorac_stand_in_tensor(const char *name, const char *dtype)
{
    static const char gptq[] = " (quantised by GPTQ or AWQ: take the model that it was made from)";
    static const char bnb[] = " (quantised by bitsandbytes: take the model that it was made from)";
    static const struct {
        const char *end, *type, *what;
    } known[] = {
        {".qweight", "I", gptq},
        {".qzeros", "I", gptq},
        {".g_idx", "I", gptq},
        {".absmax", "U8", bnb},
        {".weight", "U8", bnb},
        {".weight", "I8", bnb},
        {".quant_state.bitsandbytes__nf4", "", bnb},
        {".quant_state.bitsandbytes__fp4", "", bnb},
        {".weight", "U32", " (quantised by mlx: take the model that it was made from)"},
        {".weight", "F8_", " (quantised to 8-bit floats: take the model that it was made from)"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (ends(name, known[i].end) && begins(dtype, known[i].type)) { return known[i].what; }
    }
    return "";
}
