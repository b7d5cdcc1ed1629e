# Public headers: <lorac/base.h> and its like, one a folder. In the build they forward to the folders' own;
# installed, the whole set lies in include/lorac/.
set(lorac_headers
    base/base.h base/batch.h base/compare.h base/config.h base/fingerprint.h base/generate.h base/hub.h base/init.h
    base/model.h base/safetensors.h base/tokenizer.h base/tokenizer_train.h
    base/compute/device.h base/compute/segment.h base/compute/start.h
    base/core/api.h base/core/buf.h base/core/clock.h base/core/dtype.h base/core/err.h
    base/core/file.h base/core/json.h base/core/machine.h base/core/mem.h
    datasets/datasets.h lora/lora.h
    recipes/evaluate.h recipes/fewshot.h recipes/found.h recipes/init.h recipes/job.h recipes/plan.h
    recipes/choose.h recipes/labels.h recipes/predict.h recipes/predictor.h recipes/recipe.h recipes/recipes.h recipes/run.h recipes/saved_template.h)
foreach(folder base lora datasets recipes)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/include/lorac/${folder}.h
         CONTENT "#include \"${folder}/${folder}.h\"\n")
endforeach()
