{{- define "rfuse.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- define "rfuse.labels" -}}
app.kubernetes.io/name: rfuse-csi
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "rfuse.selector" -}}
app.kubernetes.io/name: rfuse-csi
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "rfuse.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- define "rfuse.policy" -}}
{{- range $name, $value := .Values.volumes.defaults }}
- --default={{ $name }}={{ $value }}
{{- end }}
{{- range .Values.volumes.inlineMayChoose }}
- --inline={{ . }}
{{- end }}
{{- with .Values.mounts.cache }}
{{- if .path }}
- --cache={{ .path }}
{{- if .forAll }}
- --cache-for-all
{{- end }}
{{- end }}
{{- end }}
{{- end }}
