{{- define "jobs.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "jobs.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "jobs.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* A claim or a whole volume; one of them, not both. */}}
{{- define "jobs.volume" -}}
{{- if and .from.claim .from.volume -}}
{{- fail (printf "%s: give a claim or a volume, not both" .name) -}}
{{- else if .from.claim -}}
persistentVolumeClaim:
  claimName: {{ .from.claim }}
  readOnly: {{ .readOnly }}
{{- else if .from.volume -}}
{{ toYaml .from.volume }}
{{- else -}}
{{- fail (printf "%s: name a claim (--set %s.claim=NAME) or give a volume" .name .name) -}}
{{- end -}}
{{- end -}}

{{/* Limits, environment and placement that follow from gpu.mode. */}}
{{- define "jobs.gpuResource" -}}
{{- $gpu := .Values.gpu -}}
{{- if eq $gpu.mode "whole" -}}
{{ $gpu.resource | default "nvidia.com/gpu" }}: {{ $gpu.count }}
{{- else if or (eq $gpu.mode "timeSlicing") (eq $gpu.mode "mps") -}}
{{ $gpu.resource | default "nvidia.com/gpu" }}: 1
{{- else if eq $gpu.mode "nvshare" -}}
{{ $gpu.resource | default "nvshare.com/gpu" }}: 1
{{- end -}}
{{- end -}}

{{- define "jobs.resources" -}}
{{- $limits := deepCopy (.Values.resources.limits | default dict) -}}
{{- $gpu := include "jobs.gpuResource" . | fromYaml -}}
{{- $resources := dict "requests" (.Values.resources.requests | default dict) "limits" (merge $gpu $limits) -}}
{{ toYaml $resources }}
{{- end -}}

{{- define "jobs.gpuEnv" -}}
{{- if eq .Values.gpu.mode "visibleDevices" }}
- name: NVIDIA_VISIBLE_DEVICES
  value: {{ .Values.gpu.visibleDevices | quote }}
{{- end }}
{{- if ne .Values.gpu.mode "none" }}
- name: NVIDIA_DRIVER_CAPABILITIES
  value: compute,utility
{{- end }}
{{- end -}}

{{/* With a GPU asked for, a node without one is an error, not a slow run. */}}
{{- define "jobs.device" -}}
{{- if eq .Values.gpu.mode "none" -}}cpu{{- else -}}cuda:0{{- end -}}
{{- end -}}

{{- define "jobs.placement" -}}
{{- if .Values.volcano.enabled }}
schedulerName: volcano
{{- end }}
{{- with .Values.gpu.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext: {{ toYaml . | nindent 2 }}
{{- end }}
{{- if and .Values.gpu.nfd (ne .Values.gpu.mode "none") }}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - key: feature.node.kubernetes.io/pci-10de.present
              operator: In
              values: ["true"]
            {{- if eq .Values.gpu.mode "mps" }}
            - key: nvidia.com/mps.capable
              operator: In
              values: ["true"]
            {{- end }}
{{- end }}
{{- end -}}

{{- define "jobs.scratch" -}}
{{- if .Values.scratch.hostPath -}}
hostPath:
  path: {{ .Values.scratch.hostPath }}
  type: DirectoryOrCreate
{{- else -}}
emptyDir:
  sizeLimit: {{ .Values.scratch.sizeLimit }}
{{- end -}}
{{- end -}}

{{/* A list of words: helm reads what looks like a number as one, and a container takes text alone. */}}
{{- define "jobs.words" -}}
{{- range . }}
{{- $isWhole := and (kindIs "float64" .) (eq (float64 (int64 .)) (float64 .)) }}
- {{ ternary (int64 . | toString) (toString .) $isWhole | quote }}
{{- end }}
{{- end -}}

{{/* The words of the command for the job with number $(INDEX). */}}
{{- define "jobs.args" -}}
{{- $own := .Values.output.path -}}
{{- $share := list -}}
{{- if .Values.share -}}
{{- $share = list "--part" (printf "$(INDEX)/%d" (int .Values.njobs)) -}}
{{- end -}}
{{- $common := concat $share (list "--device" (include "jobs.device" .) "--json" "--require" .Values.job.require) .Values.job.args -}}
{{- $args := list -}}
{{- if eq .Values.job.kind "replay" -}}
{{- $args = concat (list "replay" .Values.input.path $own) $common -}}
{{- else -}}
{{- $args = concat (list .Values.job.kind .Values.input.path "--output" $own) $common -}}
{{- end -}}
{{ include "jobs.words" $args }}
{{- end -}}

{{/* A pod's spec; `index` is empty where the Job controller numbers the pods. */}}
{{- define "jobs.pod" -}}
{{- $root := .root -}}
{{- with $root -}}
metadata:
  labels:
    {{- include "jobs.labels" . | nindent 4 }}
    app.kubernetes.io/component: job
    {{- if not (eq $.index "") }}
    rfuse.io/job-index: {{ $.index | quote }}
    {{- end }}
  {{- if .Values.volcano.enabled }}
  annotations:
    scheduling.volcano.sh/queue-name: {{ .Values.volcano.queue }}
  {{- end }}
spec:
  restartPolicy: {{ .Values.restartPolicy }}
  {{- if eq .Values.shape "training" }}
  subdomain: {{ include "jobs.name" . }}
  {{- end }}
  {{- include "jobs.placement" . | nindent 2 }}
  {{- if and (eq .Values.shape "training") .Values.training.waitForPeers }}
  initContainers:
    - name: wait-for-peers
      image: {{ include "jobs.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: ["sh", "-c", "for i in $(seq 300); do getent hosts \"$MASTER_ADDR\" && exit 0; sleep 1; done; exit 1"]
      env:
        - name: MASTER_ADDR
          value: {{ printf "%s-0.%s" (include "jobs.name" .) (include "jobs.name" .) }}
  {{- end }}
  containers:
    - name: job
      image: {{ include "jobs.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: ["rfuse-resim"]
      args: {{- include "jobs.args" . | nindent 8 }}
      env:
        - name: INDEX
          {{- if eq $.index "" }}
          valueFrom:
            fieldRef:
              fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
          {{- else }}
          value: {{ $.index | quote }}
          {{- end }}
        - name: TMPDIR
          value: /scratch
        {{- if eq .Values.shape "training" }}
        - name: RANK
          value: $(INDEX)
        - name: WORLD_SIZE
          value: {{ .Values.njobs | quote }}
        - name: MASTER_ADDR
          value: {{ printf "%s-0.%s" (include "jobs.name" .) (include "jobs.name" .) }}
        - name: MASTER_PORT
          value: {{ .Values.training.port | quote }}
        {{- end }}
        {{- include "jobs.gpuEnv" . | nindent 8 }}
      resources: {{- include "jobs.resources" . | nindent 8 }}
      volumeMounts:
        - name: input
          mountPath: {{ .Values.input.path }}
          readOnly: true
          {{- with .Values.input.subPath }}
          subPath: {{ . }}
          {{- end }}
        - name: output
          mountPath: {{ .Values.output.path }}
          subPathExpr: {{ include "jobs.name" . }}/$(INDEX)
        - name: scratch
          mountPath: /scratch
        {{- if eq .Values.shape "training" }}
        - name: shared-memory
          mountPath: /dev/shm
        {{- end }}
  volumes:
    - name: input
      {{- include "jobs.volume" (dict "from" .Values.input "name" "input" "readOnly" true) | nindent 6 }}
    - name: output
      {{- include "jobs.volume" (dict "from" .Values.output "name" "output" "readOnly" false) | nindent 6 }}
    - name: scratch
      {{- include "jobs.scratch" . | nindent 6 }}
    {{- if eq .Values.shape "training" }}
    - name: shared-memory
      emptyDir:
        medium: Memory
        sizeLimit: {{ .Values.training.sharedMemory }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* What all Jobs of the run have in common. */}}
{{- define "jobs.limits" -}}
backoffLimit: {{ .Values.backoffLimit }}
{{- with .Values.activeDeadlineSeconds }}
activeDeadlineSeconds: {{ . }}
{{- end }}
{{- with .Values.ttlSecondsAfterFinished }}
ttlSecondsAfterFinished: {{ . }}
{{- end }}
{{- end -}}
