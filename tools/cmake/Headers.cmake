# Public headers: <lorac/base.h> and its like, one a folder. In the build they forward to the folders' own;
# installed, the whole set lies in include/lorac/.
set(lorac_headers
    base/base.h base/batch.h base/chat.h base/compare.h base/config.h base/embed.h base/fingerprint.h base/generate.h base/checkpoint/hub.h base/init.h base/profile.h
    base/model.h base/checkpoint/safetensors.h base/tokenizer/tokenizer.h base/tokenizer/train.h
    base/compute/device.h base/compute/segment.h base/compute/start.h
    base/core/api.h base/core/buf.h base/core/clock.h base/core/dtype.h base/core/err.h
    base/core/file.h base/core/json_value.h base/core/machine.h base/core/mem.h base/core/suggest.h
    datasets/datasets.h datasets/objective.h datasets/passages.h
    datasets/tables.h lora/lora.h lora/saved.h
    recipes/language/recipe.h recipes/language/sweep.h recipes/recipes.h
    recipes/run/approximation.h recipes/run/choose.h recipes/run/evaluate.h recipes/run/fewshot.h
    recipes/run/found.h recipes/run/heads.h recipes/run/init.h recipes/run/job.h recipes/run/labels.h
    recipes/run/logits.h recipes/run/metrics.h recipes/run/plan.h
    recipes/run/predict.h recipes/run/predictions.h recipes/run/predictor.h recipes/run/ranks.h
    recipes/run/record.h recipes/run/run.h recipes/run/saved_template.h recipes/run/shared.h
    recipes/run/sweep.h recipes/run/trainer.h recipes/run/verdicts.h
    recipes/report/board.h recipes/report/report.h recipes/report/statistics.h)
foreach(folder base lora datasets recipes)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/include/lorac/${folder}.h
         CONTENT "#include \"${folder}/${folder}.h\"\n")
endforeach()
