#!/bin/sh
# Submits the jobs of radgrounder.toml, each behind those that it reads from. Run it where rrg was run.
set -eu
job_data=$(sbatch --parsable examples/slurm/01-data.sbatch)
echo "data $job_data"
job_merge=$(sbatch --parsable --dependency=afterok:$job_data examples/slurm/02-merge.sbatch)
echo "merge $job_merge"
job_train=$(sbatch --parsable --dependency=afterok:$job_merge examples/slurm/03-train.sbatch)
echo "train $job_train"
job_infer=$(sbatch --parsable --dependency=afterok:$job_merge:$job_train examples/slurm/04-infer.sbatch)
echo "infer $job_infer"
job_score_vqa=$(sbatch --parsable --dependency=afterok:$job_merge:$job_infer examples/slurm/05-score-vqa.sbatch)
echo "score-vqa $job_score_vqa"
job_score_boxes=$(sbatch --parsable --dependency=afterok:$job_merge:$job_infer examples/slurm/06-score-boxes.sbatch)
echo "score-boxes $job_score_boxes"
