{{- define "openworld.labels" -}}
app.kubernetes.io/name: openworld
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "openworld.selector" -}}
app.kubernetes.io/name: openworld
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Namespaces in which executions run, separated by commas. */ -}}
{{- define "openworld.namespaces" -}}
{{- join "," (default (list .Release.Namespace) .Values.namespaces) -}}
{{- end }}

{{- /* The operator as the API server names it. */ -}}
{{- define "openworld.operator" -}}
system:serviceaccount:{{ .Release.Namespace }}:openworld-operator
{{- end }}

{{- /* What holds the webhook's certificate. Two names: what cert-manager made is not the chart's to change. */ -}}
{{- define "openworld.webhookSecret" -}}
{{ ternary "openworld-webhook-issued" "openworld-webhook" .Values.webhook.certManager.enabled }}
{{- end }}
