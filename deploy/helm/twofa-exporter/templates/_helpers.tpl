{{- define "twofa.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name is fixed: the value of this label becomes the job that the alert rules expect. */}}
{{- define "twofa.selector" -}}
app.kubernetes.io/name: twofa-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "twofa.labels" -}}
{{ include "twofa.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "twofa.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "twofa.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "twofa.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* A shipped file with the addresses of the site in it: those of `rules export` and `dashboards export`. */}}
{{- define "twofa.sited" -}}
{{- $site := .root.Values.site -}}
{{- $runbooks := $site.runbookUrl | default (printf "%s/runbooks" $site.exporterUrl) -}}
{{- .root.Files.Get .file
  | replace "http://127.0.0.1:10687/runbooks" $runbooks
  | replace "http://127.0.0.1:10687" $site.exporterUrl
  | replace "http://127.0.0.1:3000" $site.grafanaUrl -}}
{{- end -}}
